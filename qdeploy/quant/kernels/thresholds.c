/* Codes that begin at thresholds of their own, in one pass over memory, and their gradient.

       q = #{k : x >= edges[k]},   y = step * q                                       levels edges
       segment k = 1 .. levels:    ends[k - 1] <= x < ends[k],  slopes[k - 1] = dy/dx there, 0 beyond

   x is float32 or bfloat16. Sums are over chunks of fixed size, added up in order: the same bits on
   any number of threads. Not-a-number passes through, so that a training that diverges is noticed. */
#include <stdint.h>

#include "numbers.h"

#define CHUNK 2048
#define SMALL 32768 /* elements that are not worth a second thread */

static void count_part(const float *restrict x, float *restrict y, int64_t n, int levels,
                       const float *edges, float step) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] >= edges[0] ? 1.0f : 0.0f;
  for (int k = 1; k < levels; ++k) {
    const float edge = edges[k];
    for (int64_t i = 0; i < n; ++i) y[i] += x[i] >= edge ? 1.0f : 0.0f;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] == x[i] ? y[i] * step : x[i];
}

/* Sums of g in each segment, of g * (x - its lower end), and of g * q, 2 * levels + 1 in all. */
static void slope_part(const float *restrict g, const float *restrict x, float *restrict out,
                       int64_t n, int levels, const float *edges, const float *ends,
                       const float *slopes, double *sums) {
  float codes = 0.0f;
  for (int64_t i = 0; i < n; ++i) out[i] = 0.0f;
  for (int k = 0; k < levels; ++k) {
    const float edge = edges[k], low = ends[k], high = ends[k + 1], slope = slopes[k];
    float all = 0.0f, far = 0.0f;
    _Pragma("omp simd reduction(+ : all, far, codes)") for (int64_t i = 0; i < n; ++i) {
      const float v = x[i], d = g[i];
      const int inside = (v >= low) & (v < high);
      out[i] += inside ? d * slope : 0.0f;
      all += inside ? d : 0.0f;
      far += inside ? d * (v - low) : 0.0f;
      codes += v >= edge ? d : 0.0f;
    }
    sums[k] = all;
    sums[levels + k] = far;
  }
  sums[2 * levels] = codes;
}

#define DEFINE(NAME, TYPE)                                                                        \
  void count_##NAME(const TYPE *x, float *y, int64_t size, int levels, const float *edges,        \
                    float step, int threads) {                                                    \
    const int64_t chunks = (size + CHUNK - 1) / CHUNK;                                            \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && size > SMALL)") \
    for (int64_t k = 0; k < chunks; ++k) {                                                        \
      const int64_t begin = k * CHUNK, n = size - begin < CHUNK ? size - begin : CHUNK;           \
      float values[CHUNK];                                                                        \
      for (int64_t i = 0; i < n; ++i) values[i] = from_##NAME(x[begin + i]);                      \
      count_part(values, y + begin, n, levels, edges, step);                                      \
    }                                                                                             \
  }                                                                                               \
                                                                                                  \
  /* Gradient of x into `out`, and the sums of `slope_part`; `parts` has room for those of every  \
     chunk. */                                                                                    \
  void count_gradient_##NAME(const float *g, const TYPE *x, TYPE *out, int64_t size, int levels,  \
                             const float *edges, const float *ends, const float *slopes,          \
                             double *parts, double *sums, int threads) {                          \
    const int64_t chunks = (size + CHUNK - 1) / CHUNK;                                            \
    const int many = 2 * levels + 1;                                                              \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && size > SMALL)") \
    for (int64_t k = 0; k < chunks; ++k) {                                                        \
      const int64_t begin = k * CHUNK, n = size - begin < CHUNK ? size - begin : CHUNK;           \
      float values[CHUNK], made[CHUNK];                                                           \
      for (int64_t i = 0; i < n; ++i) values[i] = from_##NAME(x[begin + i]);                      \
      slope_part(g + begin, values, made, n, levels, edges, ends, slopes, parts + k * many);      \
      for (int64_t i = 0; i < n; ++i) out[begin + i] = to_##NAME(made[i]);                        \
    }                                                                                             \
    for (int j = 0; j < many; ++j) {                                                              \
      sums[j] = 0.0;                                                                              \
      for (int64_t k = 0; k < chunks; ++k) sums[j] += parts[k * many + j];                        \
    }                                                                                             \
  }

DEFINE(f32, float)
DEFINE(bf16, bfloat16)
