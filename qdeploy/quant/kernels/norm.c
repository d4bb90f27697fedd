/* Batch norm of several networks side by side, with a ReLU behind it where that is wanted.

   x is float32 (networks, rows, units), one network after the other; each unit of each network has
   statistics of its own over the rows:

       mean = 1/N Σ x,   var = 1/N Σ (x - mean)²,   inverse = 1 / √(var + eps)
       y = x * scale + shift,   scale = gain * inverse,   shift = offset - mean * scale

   and with g the gradient of y, 0 where a ReLU gave 0,

       dx = scale * (g - 1/N Σ g - (x - mean) * inverse² * 1/N Σ g (x - mean))
       dgain = inverse * Σ g (x - mean),   doffset = Σ g

   Sums are in double precision, each network by one thread: the same bits on any number of threads.
   Not-a-number passes through. */
#include <math.h>
#include <stdint.h>

#define SMALL 32768 /* elements that are not worth a second thread */

/* One pass: a ReLU gives +0 for all that is not above 0, and lets not-a-number pass. */
static void affine_part(const float *restrict x, float *restrict y, int64_t rows, int64_t units,
                        const float *restrict scale, const float *restrict shift, int relu) {
  for (int64_t n = 0; n < rows; ++n) {
    const float *from = x + n * units;
    float *to = y + n * units;
    if (relu) {
      for (int64_t f = 0; f < units; ++f) {
        const float value = from[f] * scale[f] + shift[f];
        to[f] = value <= 0.0f ? 0.0f : value;
      }
    } else {
      for (int64_t f = 0; f < units; ++f) to[f] = from[f] * scale[f] + shift[f];
    }
  }
}

void affine_f32(const float *x, float *y, int64_t networks, int64_t rows, int64_t units,
                const float *scale, const float *shift, int relu, int threads) {
  const int64_t size = rows * units;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && networks * size > SMALL)
  for (int64_t s = 0; s < networks; ++s)
    affine_part(x + s * size, y + s * size, rows, units, scale + s * units, shift + s * units, relu);
}

/* `sums` has room for two doubles for each unit of each network. */
void norm_f32(const float *x, float *y, int64_t networks, int64_t rows, int64_t units,
              const float *gain, const float *offset, float eps, int relu, float *mean, float *var,
              float *inverse, float *scale, float *shift, double *sums, int threads) {
  const int64_t size = rows * units;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && networks * size > SMALL)
  for (int64_t s = 0; s < networks; ++s) {
    double *restrict total = sums + 2 * s * units, *restrict squares = total + units;
    const float *restrict values = x + s * size;
    const int64_t at = s * units;
    for (int64_t f = 0; f < units; ++f) total[f] = squares[f] = 0.0;
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t f = 0; f < units; ++f) total[f] += values[n * units + f];
    for (int64_t f = 0; f < units; ++f) total[f] /= (double)rows;
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t f = 0; f < units; ++f) {
        const double away = values[n * units + f] - total[f];
        squares[f] += away * away;
      }
    for (int64_t f = 0; f < units; ++f) {
      const double spread = squares[f] / (double)rows;
      mean[at + f] = (float)total[f];
      var[at + f] = (float)spread;
      inverse[at + f] = (float)(1.0 / sqrt(spread + (double)eps));
      scale[at + f] = gain[at + f] * inverse[at + f];
      shift[at + f] = offset[at + f] - mean[at + f] * scale[at + f];
    }
    affine_part(values, y + s * size, rows, units, scale + at, shift + at, relu);
  }
}

/* Gradients of x, gain and offset; `sums` as above, `scale` and `shift` those of the forward pass. */
void norm_gradient_f32(const float *g, const float *x, float *out, int64_t networks, int64_t rows,
                       int64_t units, int relu, const float *mean, const float *inverse,
                       const float *scale, const float *shift, float *gain, float *offset,
                       double *sums, int threads) {
  const int64_t size = rows * units;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && networks * size > SMALL)
  for (int64_t s = 0; s < networks; ++s) {
    double *restrict total = sums + 2 * s * units, *restrict product = total + units;
    const float *restrict m = mean + s * units, *restrict i = inverse + s * units;
    const float *restrict a = scale + s * units, *restrict b = shift + s * units;
    for (int64_t f = 0; f < units; ++f) total[f] = product[f] = 0.0;
    for (int64_t n = 0; n < rows; ++n) {
      const float *restrict xs = x + s * size + n * units, *restrict gs = g + s * size + n * units;
      float *restrict to = out + s * size + n * units;
      for (int64_t f = 0; f < units; ++f) {
        const float value = xs[f] * a[f] + b[f];
        const float passed = relu && value <= 0.0f ? 0.0f : gs[f];
        to[f] = passed;
        total[f] += passed;
        product[f] += (double)passed * (xs[f] - m[f]);
      }
    }
    float *restrict dgain = gain + s * units, *restrict doffset = offset + s * units;
    for (int64_t f = 0; f < units; ++f) {
      dgain[f] = (float)(product[f] * i[f]);
      doffset[f] = (float)total[f];
      total[f] /= (double)rows;
      product[f] *= (double)i[f] * i[f] / (double)rows;
    }
    for (int64_t n = 0; n < rows; ++n) {
      const float *restrict xs = x + s * size + n * units;
      float *restrict to = out + s * size + n * units;
      for (int64_t f = 0; f < units; ++f)
        to[f] = a[f] * (to[f] - (float)total[f] - (xs[f] - m[f]) * (float)product[f]);
    }
  }
}
