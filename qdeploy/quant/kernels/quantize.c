/* Quantization in one pass over memory, and its gradient in another.

       step = max(|value|, smallest) / levels
       t = x / step,   r = round half to even(t),   y = step * clip(r, lo, hi)

   x is float32 or bfloat16, row after row with one value for each row, or one row with one. Sums are
   over chunks of fixed size, added up in order: the same bits on any number of threads.
   Not-a-number passes through, so that a training that diverges is noticed. */
#include <math.h>
#include <stdint.h>

#include "numbers.h"

#define CHUNK 8192
#define SMALL 32768 /* elements that are not worth a second thread */

enum { PACT, CLIP, CLIP_AFTER_RELU, THROUGH };

static inline float step_of(float value, float smallest, float levels) {
  const float size = fabsf(value);
  return (size < smallest ? smallest : size) / levels;
}

#define DEFINE(NAME, TYPE)                                                                        \
  static void quantize_part_##NAME(const TYPE *restrict x, float *restrict y, int64_t n,          \
                                   float step, float lo, float hi) {                              \
    /* Adding +0 makes +0 of -0, adding -0 changes nothing: unsigned codes have no sign. */       \
    const float zero = lo < 0.0f ? -0.0f : 0.0f;                                                  \
    for (int64_t i = 0; i < n; ++i) {                                                             \
      float r = rintf(from_##NAME(x[i]) / step);                                                  \
      r = r < lo ? lo : r;                                                                        \
      y[i] = (r > hi ? hi : r) * step + zero;                                                     \
    }                                                                                             \
  }                                                                                               \
                                                                                                  \
  static double pact_part_##NAME(const float *restrict g, const TYPE *restrict x,                  \
                                TYPE *restrict out, int64_t n, float step, float lo, float hi) {  \
    double sum = 0.0;                                                                             \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; ++i) {                      \
      const float t = from_##NAME(x[i]) / step;                                                   \
      const int above = t >= hi, below = t <= lo;                                                 \
      out[i] = to_##NAME((above | below) ? 0.0f : g[i]);                                          \
      sum += g[i] * (above ? hi : (below ? lo : 0.0f));                                           \
    }                                                                                             \
    return sum;                                                                                   \
  }                                                                                               \
                                                                                                  \
  static double clip_part_##NAME(const float *restrict g, const TYPE *restrict x,                  \
                                TYPE *restrict out, int64_t n, float step, float lo, float hi,    \
                                float nothing) {                                                  \
    double sum = 0.0;                                                                             \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; ++i) {                      \
      const float t = from_##NAME(x[i]) / step, r = rintf(t);                                     \
      const int above = r > hi, below = r < lo || t <= nothing;                                   \
      out[i] = to_##NAME((above | below) ? 0.0f : g[i]);                                          \
      sum += g[i] * (above ? hi : (below ? lo : r - t));                                          \
    }                                                                                             \
    return sum;                                                                                   \
  }                                                                                               \
                                                                                                  \
  static double slope_part_##NAME(const float *restrict g, const TYPE *restrict x, int64_t n,      \
                                 float step, float lo, float hi) {                                \
    double sum = 0.0;                                                                             \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; ++i) {                      \
      const float t = from_##NAME(x[i]) / step, r = rintf(t);                                     \
      sum += g[i] * (r > hi ? hi : (r < lo ? lo : r - t));                                        \
    }                                                                                             \
    return sum;                                                                                   \
  }                                                                                               \
                                                                                                  \
  void quantize_##NAME(const TYPE *x, float *y, int64_t rows, int64_t size, const float *values,  \
                       float smallest, float levels, float lo, float hi, int threads) {                                         \
    const int64_t chunks = (size + CHUNK - 1) / CHUNK;                                            \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && rows * size > SMALL)") \
    for (int64_t k = 0; k < rows * chunks; ++k) {                                                 \
      const int64_t row = k / chunks, begin = (k % chunks) * CHUNK;                               \
      const int64_t n = size - begin < CHUNK ? size - begin : CHUNK;                              \
      const float step = step_of(values[row], smallest, levels);                                  \
      quantize_part_##NAME(x + row * size + begin, y + row * size + begin, n, step, lo, hi);      \
    }                                                                                             \
  }                                                                                               \
                                                                                                  \
  /* Gradient of x into `out` (left alone by THROUGH) and of each row's value into `sums`;        \
     `parts` has room for a number per chunk. */                                                  \
  void gradient_##NAME(const float *g, const TYPE *x, TYPE *out, int64_t rows, int64_t size,      \
                       const float *values, float smallest, float levels, float lo, float hi,     \
                       int rule, double *parts, float *sums, int threads) {                       \
    const int64_t chunks = (size + CHUNK - 1) / CHUNK;                                            \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && rows * size > SMALL)") \
    for (int64_t k = 0; k < rows * chunks; ++k) {                                                 \
      const int64_t row = k / chunks, begin = (k % chunks) * CHUNK, at = row * size + begin;      \
      const int64_t n = size - begin < CHUNK ? size - begin : CHUNK;                              \
      const float step = step_of(values[row], smallest, levels);                                  \
      const float nothing = rule == CLIP_AFTER_RELU ? 0.0f : -INFINITY;                           \
      parts[k] = rule == PACT      ? pact_part_##NAME(g + at, x + at, out + at, n, step, lo, hi)  \
                 : rule == THROUGH ? slope_part_##NAME(g + at, x + at, n, step, lo, hi)           \
                                   : clip_part_##NAME(g + at, x + at, out + at, n, step, lo, hi,  \
                                                      nothing);                                   \
    }                                                                                             \
    for (int64_t row = 0; row < rows; ++row) {                                                    \
      double sum = 0.0;                                                                           \
      for (int64_t k = 0; k < chunks; ++k) sum += parts[row * chunks + k];                        \
      sums[row] = (float)(values[row] < 0.0f ? -sum : sum) / levels;                              \
    }                                                                                             \
  }

DEFINE(f32, float)
DEFINE(bf16, bfloat16)
