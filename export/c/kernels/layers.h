/* Descriptions of layers. Maps are (height, width, channels), channels innermost. */
#ifndef QD_LAYERS_H
#define QD_LAYERS_H

#include "finish.h"

/* Of a map of which only the last rows are held, row y lies where y modulo their number does. */
#if defined(QD_USE_RINGS)
QD_INLINE int32_t qd_held(int32_t row, int32_t rows) {
    while (rows != 0 && row >= rows) {
        row -= rows;
    }
    return row;
}
#define QD_HELD(p, y) qd_held((y), (p)->ring)

QD_INLINE int32_t qd_least(int32_t a, int32_t b) { return a < b ? a : b; }

QD_INLINE int32_t qd_most(int32_t a, int32_t b) { return a > b ? a : b; }

/* Rows of a map of `height` that so many rows of a result need. */
QD_INLINE int32_t qd_reach(int32_t rows, int32_t stride, int32_t more, int32_t height) {
    return qd_most(0, qd_least(height, (rows - 1) * stride + more));
}
#else
#define QD_HELD(p, y) (y)
#endif

/* Of conv_staged.h, for four filters: products that are added up before they are read, all offsets
 * in a sum, and what a byte of a product begins with. */
typedef struct {
    uint16_t run, minus;
    uint8_t offset;
} qd_run_t;

/* A convolution. */
typedef struct {
    qd_finish_t finish;
    const uint8_t *weights; /* a row for each output channel, (window row, column, channel) */
    int32_t row_bytes;
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int16_t window_height, window_width;
    int16_t stride_down, stride_right;
    int16_t dilation_down, dilation_right;
    int16_t top, left; /* padding with code 0 */
    int32_t groups;
    int32_t least; /* weight of the field 0 */
    uint8_t bits;  /* of a weight, 0 for five weights to a byte */
    uint8_t out_type;
    /* Of conv_staged.h: */
    uint8_t in_type;
    uint8_t unit;
    uint16_t units;  /* of a window's row */
    int16_t columns; /* of windows, QD_PAIRS: of pairs */
    int16_t band;    /* rows of the result at a time */
#if defined(QD_USE_VECTOR)
    uint16_t most_fours; /* fours of products that 16 bits hold the halves' sums of */
    const int8_t *vector; /* weights of conv_vector.h */
#endif
    const qd_run_t *runs;
#if defined(QD_USE_RINGS)
    int16_t ring; /* rows of the input that are held, 0 for all */
#endif
} qd_conv_t;

/* A fully connected layer. */
typedef struct {
    qd_finish_t finish;
    const uint8_t *weights; /* a row for each output */
    int32_t inputs, outputs;
    int32_t least; /* weight of the field 0 */
    uint8_t bits;  /* of a weight, 0 for five weights to a byte */
    uint8_t out_type;
} qd_dense_t;

/* Element by element, or a sum over the pixels of a channel. */
typedef struct {
    qd_finish_t finish;
    int32_t pixels, channels;
    uint8_t out_type;
} qd_pixels_t;

/* What only moves elements, or takes the largest. */
typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int16_t down, right; /* stride, factor, step or block */
    int16_t window_height, window_width;
    int16_t top, left;
    int32_t first; /* channel of the result that the first one becomes */
    uint8_t in_type, out_type;
#if defined(QD_USE_RINGS)
    int16_t ring; /* rows of the input that are held, 0 for all */
#endif
} qd_move_t;

#endif
