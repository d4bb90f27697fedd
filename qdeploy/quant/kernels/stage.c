/* One hidden layer of a fully connected network, but for its products: batch norm in training and
   what follows it (a ReLU, a quantizer, or learned thresholds), and the gradients of both; and the
   quantization of all weights of a network in one call.

   The norm has the bits of torch's own on one thread: sums in float32, row after row, fused
   multiply-add where torch's vectors have it (`native_stage.same_norms` compares them). Everything
   else calls the kernels of the other files, so the bits are theirs. The structures are those of
   `native_stage`. */
#include <math.h>
#include <stdint.h>

enum { RELU, STEPS, THRESHOLDS };
enum { THROUGH = 3 };

void quantize_f32(const float *x, float *y, int64_t rows, int64_t size, const float *values,
                  float smallest, float levels, float lo, float hi, int threads);
void gradient_f32(const float *g, const float *x, float *out, int64_t rows, int64_t size,
                  const float *values, float smallest, float levels, float lo, float hi, int rule,
                  double *parts, float *sums, int threads);
void count_f32(const float *x, float *y, int64_t size, int levels, const float *edges, float step,
               int threads);
void count_gradient_f32(const float *g, const float *x, float *out, int64_t size, int levels,
                        const float *edges, const float *ends, const float *slopes, double *parts,
                        double *sums, int threads);

/* A quantizer with steps of max(|value|, smallest) / levels; `slope` is the gradient of the values,
   divided by `divisor` unless that is 0, and is left alone where it is null. */
typedef struct {
  int64_t rows, size;
  const float *x;
  float *y;
  const float *values;
  float smallest, levels, lo, hi;
  int64_t rule;
  const float *g;
  double *parts;
  float *slope;
  float divisor;
} Steps;

/* Learned thresholds; gradients are null where none is wanted. */
typedef struct {
  int64_t count;
  const float *value;
  float smallest, levels;
  const float *start, *lengths, *least;
  float *edges, *ends, *exact, *slopes;
  double *parts, *sums, *inside;
  double share;
  float *of_value, *of_start, *of_lengths;
} Thresholds;

typedef struct {
  int64_t rows, units;
  const float *x;
  float *y, *out;
  const float *gain, *offset;
  float *running_mean, *running_var;
  int64_t *batches;
  double eps, momentum;
  float *mean, *inverse, *scale, *shift, *sums;
  int64_t kind;
  Steps steps;
  Thresholds thresholds;
  const float *g;
  float *g_y, *g_x, *of_gain, *of_offset;
} Stage;

static void norm(const Stage *s) {
  const int64_t rows = s->rows, units = s->units;
  const float *restrict x = s->x;
  float *restrict mean = s->mean, *restrict inverse = s->inverse, *restrict scale = s->scale;
  float *restrict shift = s->shift, *restrict total = s->sums, *restrict squares = total + units;
  const float momentum = (float)s->momentum, count = (float)rows;
  for (int64_t f = 0; f < units; ++f) total[f] = squares[f] = 0.0f;
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t f = 0; f < units; ++f) total[f] += x[n * units + f];
  for (int64_t f = 0; f < units; ++f) mean[f] = (float)((double)total[f] / (double)rows);
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t f = 0; f < units; ++f) {
      const float away = x[n * units + f] - mean[f];
      squares[f] = fmaf(away, away, squares[f]);
    }
  for (int64_t f = 0; f < units; ++f) {
    const float unbiased = squares[f] / (float)(rows - 1);
    inverse[f] = (float)(1.0 / sqrt((double)(squares[f] / count) + s->eps));
    s->running_mean[f] = momentum * mean[f] + (1 - momentum) * s->running_mean[f];
    s->running_var[f] =
        (float)((double)momentum * unbiased + (double)((1 - momentum) * s->running_var[f]));
    scale[f] = inverse[f] * s->gain[f];
    shift[f] = fmaf(-mean[f], scale[f], s->offset[f]);
  }
  ++*s->batches;
  float *restrict y = s->y;
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t f = 0; f < units; ++f) y[n * units + f] = fmaf(x[n * units + f], scale[f], shift[f]);
}

static void norm_gradient(const Stage *s) {
  const int64_t rows = s->rows, units = s->units;
  const float *restrict x = s->x, *restrict g = s->g_y, *restrict mean = s->mean;
  const float *restrict inverse = s->inverse, *restrict gain = s->gain;
  float *restrict total = s->sums, *restrict product = total + units, *restrict out = s->g_x;
  const float count = (float)rows;
  for (int64_t f = 0; f < units; ++f) total[f] = product[f] = 0.0f;
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t f = 0; f < units; ++f) {
      total[f] += g[n * units + f];
      product[f] = fmaf(x[n * units + f] - mean[f], g[n * units + f], product[f]);
    }
  for (int64_t f = 0; f < units; ++f) {
    s->of_gain[f] = (float)((double)product[f] * inverse[f]);
    s->of_offset[f] = total[f];
    total[f] = (float)((double)total[f] / (double)rows);
    product[f] = product[f] * inverse[f] * inverse[f] / count;
  }
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t f = 0; f < units; ++f) {
      const float away = x[n * units + f] - mean[f];
      const float left = fmaf(-away, product[f], g[n * units + f] - total[f]);
      out[n * units + f] = left * inverse[f] * gain[f];
    }
}

static float step_of(const Thresholds *t) {
  const float size = fabsf(*t->value);
  return (size < t->smallest ? t->smallest : size) / t->levels;
}

/* In double precision, rounded once, which keeps their order. */
static void make_edges(const Thresholds *t) {
  double end = (double)*t->start;
  t->ends[0] = (float)end;
  for (int64_t k = 0; k < t->count; ++k) {
    const float size = fabsf(t->lengths[k]);
    const float length = size < *t->least ? *t->least : size;
    t->exact[k] = length;
    t->edges[k] = (float)(end + (double)length / 2);
    end += (double)length;
    t->ends[k + 1] = (float)end;
  }
}

static float sign(float v) { return v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f; }

/* Gradients of what is learned, from the sums over all values. */
static void threshold_slopes(const Thresholds *t) {
  const int64_t count = t->count;
  double above = 0.0, all = 0.0;
  for (int64_t k = 0; k < count; ++k) {
    t->inside[k] = t->sums[k] * (double)t->slopes[k];
    all += t->inside[k];
  }
  for (int64_t k = count - 1; k >= 0; --k) {
    const double own = t->sums[count + k] * (double)t->slopes[k] / (double)t->exact[k];
    above += t->inside[k];
    const double slope = -((above - t->inside[k]) + own) * (double)sign(t->lengths[k]) * t->share;
    if (t->of_lengths) t->of_lengths[k] = (float)slope;
  }
  if (t->of_start) *t->of_start = (float)(-all * t->share);
  if (t->of_value) {
    const double whole = t->sums[2 * count] * (double)sign(*t->value);
    *t->of_value = (float)(whole / (double)t->levels * t->share);
  }
}

static void steps_gradient(const Steps *q, float *out) {
  float unused[1];
  float *sums = q->slope ? q->slope : unused;
  gradient_f32(q->g, q->x, out, q->rows, q->size, q->values, q->smallest, q->levels, q->lo, q->hi,
               (int)q->rule, q->parts, sums, 1);
  if (q->slope && q->divisor != 0.0f)
    for (int64_t row = 0; row < q->rows; ++row) q->slope[row] /= q->divisor;
}

/* What the quantizers make of their values. */
void stage_weights(const Steps *all, int count) {
  for (int i = 0; i < count; ++i) {
    const Steps *q = all + i;
    quantize_f32(q->x, q->y, q->rows, q->size, q->values, q->smallest, q->levels, q->lo, q->hi, 1);
  }
}

/* Gradients of the steps of weights, whose own gradients are there. */
void stage_weight_slopes(const Steps *all, int count) {
  for (int i = 0; i < count; ++i)
    if (all[i].slope) steps_gradient(all + i, (float *)all[i].g);
}

void stage_forward(const Stage *s) {
  const int64_t size = s->rows * s->units;
  norm(s);
  if (s->kind == RELU) {
    for (int64_t i = 0; i < size; ++i) s->out[i] = s->y[i] <= 0.0f ? 0.0f : s->y[i];
  } else if (s->kind == STEPS) {
    stage_weights(&s->steps, 1);
  } else {
    const Thresholds *t = &s->thresholds;
    make_edges(t);
    count_f32(s->y, s->out, size, (int)t->count, t->edges, step_of(t), 1);
  }
}

void stage_gradient(const Stage *s) {
  const int64_t size = s->rows * s->units;
  if (s->kind == RELU) {
    for (int64_t i = 0; i < size; ++i) s->g_y[i] = s->out[i] <= 0.0f ? 0.0f : s->g[i];
  } else if (s->kind == STEPS) {
    Steps q = s->steps;
    q.g = s->g;
    steps_gradient(&q, s->g_y);
  } else {
    const Thresholds *t = &s->thresholds;
    const float step = step_of(t);
    for (int64_t k = 0; k < t->count; ++k) t->slopes[k] = step / t->exact[k];
    count_gradient_f32(s->g, s->y, s->g_y, size, (int)t->count, t->edges, t->ends, t->slopes,
                       t->parts, t->sums, 1);
    threshold_slopes(t);
  }
  norm_gradient(s);
}
