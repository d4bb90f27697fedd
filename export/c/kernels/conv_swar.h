/* Convolution of codes and weights of few bits, four products to a multiplication.
 *
 * A word of codes X = sum a[j] 2^(8j), one of weights in the other order W = sum w[j] 2^(8(3-j)), the
 * weights with their signs. Modulo 2^32 the product is sum f[k] 2^(8k), k = 0..3, where f[k] has the
 * k + 1 terms a[j] w[i] with j - i = k - 3; so f[3] is the dot product of four, and what would be
 * beyond 2^32 is gone. Of n products added up, with 0 <= a <= A and -L <= w <= H (L, H >= 0):
 *
 *     -4 n A L  <=  f[k]  <=  4 n A H          for every k
 *
 * Beginning with 4 n A L in every byte, each byte stays within 0 .. 4 n A (L + H). Where that is at
 * most 255 no byte carries into the next or borrows from it, and the top byte is 4 n A L + f[3].
 * `run` is that n, `offset` is 4 n A L. Two filters and two pixels go together: four products for
 * each four words loaded.
 */
#ifndef QD_CONV_SWAR_H
#define QD_CONV_SWAR_H

#include "layers.h"

QD_INLINE uint32_t qd_word(const uint8_t *p, int32_t i) {
    uint32_t v;
    memcpy(&v, QD_ALIGNED(p + 4 * i, 4), 4);
    return v;
}

/* Filters `row` and `other` as words, one of each in turn. */
QD_NOINLINE void qd_unpack_words(
    const qd_conv_t *p, const uint8_t *row, const uint8_t *other, int32_t words, uint8_t *out) {
    const uint32_t bits = p->bits, mask = ((uint32_t)1 << bits) - 1u;
    for (int32_t filter = 0; filter < 2; filter++) {
        const uint8_t *from = filter == 0 ? row : other;
        uint32_t held = 0, have = 0;
        for (int32_t i = 0; i < words; i++) {
            uint32_t word = 0;
            for (int32_t j = 0; j < 4; j++) {
                if (have < bits) {
                    held |= (uint32_t)*from++ << have;
                    have += 8;
                }
                word = (word << 8) + (held & mask) + (uint32_t)p->least;
                held >>= bits;
                have -= bits;
            }
            memcpy(QD_ALIGNED(out + 8 * i + 4 * filter, 4), &word, 4);
        }
    }
}

#define QD_PAIR(i)                                                                                 \
    {                                                                                              \
        const uint32_t a = qd_word(x, (i)), b = qd_word(y, (i));                                   \
        const uint32_t v = qd_word(w, 2 * (i)), u = qd_word(w, 2 * (i) + 1);                       \
        p0 += a * v;                                                                               \
        p1 += a * u;                                                                               \
        p2 += b * v;                                                                               \
        p3 += b * u;                                                                               \
    }
#define QD_ONE(i)                                                                                  \
    {                                                                                              \
        const uint32_t a = qd_word(x, (i));                                                        \
        p0 += a * qd_word(w, 2 * (i));                                                             \
        p1 += a * qd_word(w, 2 * (i) + 1);                                                         \
    }

/* Two pixels by two filters: adds to s the sums and the offsets of the products. */
QD_INLINE void qd_dot_pair(const uint8_t *x, const uint8_t *y, const uint8_t *w, int32_t words,
    int32_t run, uint32_t begin, uint32_t *s) {
    while (words > 0) {
        uint32_t p0 = begin, p1 = begin, p2 = begin, p3 = begin;
        int32_t n = words < run ? words : run;
        words -= n;
        for (; n >= 4; n -= 4) {
            QD_PAIR(0) QD_PAIR(1) QD_PAIR(2) QD_PAIR(3)
            x += 16;
            y += 16;
            w += 32;
        }
        for (; n > 0; n--) {
            QD_PAIR(0)
            x += 4;
            y += 4;
            w += 8;
        }
        s[0] += p0 >> 24;
        s[1] += p1 >> 24;
        s[2] += p2 >> 24;
        s[3] += p3 >> 24;
    }
}

/* One pixel by two filters. */
QD_INLINE void qd_dot_one(
    const uint8_t *x, const uint8_t *w, int32_t words, int32_t run, uint32_t begin, uint32_t *s) {
    while (words > 0) {
        uint32_t p0 = begin, p1 = begin;
        int32_t n = words < run ? words : run;
        words -= n;
        for (; n >= 4; n -= 4) {
            QD_ONE(0) QD_ONE(1) QD_ONE(2) QD_ONE(3)
            x += 16;
            w += 32;
        }
        for (; n > 0; n--) {
            QD_ONE(0)
            x += 4;
            w += 8;
        }
        s[0] += p0 >> 24;
        s[1] += p1 >> 24;
    }
}

/* Up to three thresholds of a channel in registers' reach; those that it lacks are never reached. */
typedef struct {
    int32_t t[3];
    int32_t few;
} qd_few_t;

static void qd_few(const qd_finish_t *f, int32_t channel, qd_few_t *found) {
    found->few = (f->kind >= QD_SEARCH8 && f->kind <= QD_SEARCH32 && f->levels <= 3) ? 1 : 0;
    for (int32_t k = 0; k < 3; k++) {
        found->t[k] = INT32_MAX;
        if (found->few != 0 && k < f->levels) {
            const int32_t at = channel * f->levels + k;
            found->t[k] = f->kind == QD_SEARCH8    ? (int32_t)((const int8_t *)f->table)[at]
                          : f->kind == QD_SEARCH16 ? (int32_t)((const int16_t *)f->table)[at]
                                                   : ((const int32_t *)f->table)[at];
        }
    }
}

QD_NOINLINE int32_t qd_finish_called(const qd_finish_t *f, int32_t channel, int32_t acc) {
    return qd_finish(f, channel, acc);
}

QD_INLINE void qd_put(const qd_conv_t *p, const qd_few_t *few, uint8_t *out, int32_t place,
    int32_t channel, uint32_t sum) {
    const int32_t acc = (int32_t)sum;
    if (few->few != 0 && p->out_type <= QD_I8) {
        const int32_t code = (acc >= few->t[0]) + (acc >= few->t[1]) + (acc >= few->t[2]);
        out[place] = (uint8_t)(uint32_t)(p->finish.base + code);
    } else {
        qd_store(out, p->out_type, place, qd_finish_called(&p->finish, channel, acc));
    }
}

/* `scratch` holds two filters, a byte for each weight. */
static void qd_conv_swar(const qd_conv_t *p, const uint8_t *in, uint8_t *out, uint8_t *scratch) {
    const int32_t depth = p->in_channels, width = p->window_width, run = p->run;
    const int32_t words = p->window_height * width * depth / 4;
    const uint32_t begin = (uint32_t)p->offset * 0x01010101u;
    for (int32_t channel = 0; channel < p->out_channels; channel += 2) {
        const int32_t both = channel + 1 < p->out_channels;
        const uint8_t *const row = p->weights + channel * p->row_bytes;
        qd_few_t few, more;
        qd_unpack_words(p, row, row + (both ? p->row_bytes : 0), words, scratch);
        qd_few(&p->finish, channel, &few);
        qd_few(&p->finish, channel + both, &more);
        for (int32_t oy = 0; oy < p->out_height; oy++) {
            int32_t step;
            for (int32_t ox = 0; ox < p->out_width; ox += step) {
                const int32_t x = ox * p->stride_right - p->left;
                const int32_t first = x < 0 ? -x : 0;
                const int32_t last = x + width > p->in_width ? p->in_width - x : width;
                const int32_t across = (last - first) * depth / 4;
                const int32_t pair = first == 0 && last == width && ox + 1 < p->out_width &&
                                     x + p->stride_right + width <= p->in_width;
                uint32_t s[4] = {0, 0, 0, 0}, offsets = 0;
                int32_t place = (oy * p->out_width + ox) * p->out_channels + channel;
                for (int32_t ky = 0; ky < p->window_height && across > 0; ky++) {
                    const int32_t y = oy * p->stride_down - p->top + ky * p->dilation_down;
                    if (y >= 0 && y < p->in_height) {
                        const uint8_t *const a = in + (y * p->in_width + x + first) * depth;
                        const uint8_t *const w = scratch + 2 * (ky * width + first) * depth;
                        if (pair) {
                            qd_dot_pair(a, a + p->stride_right * depth, w, across, run, begin, s);
                        } else {
                            qd_dot_one(a, w, across, run, begin, s);
                        }
                        offsets += (uint32_t)((across + run - 1) / run * p->offset);
                    }
                }
                qd_put(p, &few, out, place, channel, s[0] - offsets);
                if (both) {
                    qd_put(p, &more, out, place + 1, channel + 1, s[1] - offsets);
                }
                if (pair) {
                    place += p->out_channels;
                    qd_put(p, &few, out, place, channel, s[2] - offsets);
                    if (both) {
                        qd_put(p, &more, out, place + 1, channel + 1, s[3] - offsets);
                    }
                }
                step = pair ? 2 : 1;
            }
        }
    }
}

#endif
