/* Convolution of a band of rows on hosts with vectors: eight or sixteen filters to a vector, four of
 * each one's weights to a lane, several windows at a time. The integers are those of conv_staged.h.
 *
 * What a window covers of a row of (column, channel) codes lies there as one vector of bytes: rows
 * are copied with their padding, and four codes at a time go to all lanes. Weights are there as bytes,
 * (sixteen filters, window row, four, filter, of four), zeros beyond a row and beyond the filters. A
 * lane's four products are added up
 *
 *   AVX512-VNNI   in 32 bits
 *   AVX2          in pairs in 16 bits, one sum after the other: with codes 0 .. A and weights of
 *                 magnitude W no more than 32767 / (2 A W) fours, then in 32 bits
 */
#ifndef QD_CONV_VECTOR_H
#define QD_CONV_VECTOR_H

#include "layers.h"

#if !defined(QD_USE_VECTOR) || defined(QD_PLAIN)
#define QD_VECTOR 0
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(QD_AVX2)
#define QD_VECTOR 16
#elif defined(__AVX2__)
#define QD_VECTOR 8
#else
#define QD_VECTOR 0
#endif

#if QD_VECTOR
#include <immintrin.h>

/* As many sums as an addition takes to be there. With 32 registers two vectors of filters go together,
 * where there are so many: a code that is loaded is multiplied twice. */
enum { QD_WINDOWS = QD_VECTOR == 16 ? 8 : 4, QD_TOGETHER = QD_VECTOR == 16 ? 2 : 1 };

#if QD_VECTOR == 16
typedef __m512i qd_vector_t;
#define QD_V(name) _mm512_##name
#define QD_DOT(acc, a, w) _mm512_dpbusd_epi32((acc), (a), (w))
#define QD_PUT(p, v) _mm512_storeu_si512((p), (v))
#define QD_GET(p) _mm512_loadu_si512(p)
/* v + 1 where s >= t. */
#define QD_COUNT(v, s, t)                                                                          \
    _mm512_mask_add_epi32((v), _mm512_cmpge_epi32_mask((s), (t)), (v), _mm512_set1_epi32(1))
#define QD_ZERO() _mm512_setzero_si512()
#if defined(__GNUC__)
#define QD_KEEP_VECTOR(v) __asm__("" : "+v"(v))
#else
#define QD_KEEP_VECTOR(v) ((void)0)
#endif

QD_INLINE void qd_vector_bytes(uint8_t *to, qd_vector_t v) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(v));
}
#else
typedef __m256i qd_vector_t;
#define QD_V(name) _mm256_##name
#define QD_DOT(acc, a, w) _mm256_add_epi16((acc), _mm256_maddubs_epi16((a), (w)))
#define QD_PUT(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), (v))
#define QD_GET(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define QD_COUNT(v, s, t)                                                                          \
    _mm256_add_epi32((v), _mm256_add_epi32(_mm256_set1_epi32(1), _mm256_cmpgt_epi32((t), (s))))
#define QD_ZERO() _mm256_setzero_si256()

QD_INLINE void qd_vector_bytes(uint8_t *to, qd_vector_t v) {
    const __m256i low = _mm256_and_si256(v, _mm256_set1_epi32(0xFF));
    const __m128i half = _mm256_extracti128_si256(low, 1);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), half);
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packus_epi16(words, words));
}
#endif

#if QD_VECTOR == 16
/* Sums of `count` windows, `step` bytes apart, by `vectors` times 16 filters whose weights are `apart`. */
QD_INLINE void qd_vector_sums(const qd_conv_t *p, const uint8_t *x, int32_t line, int32_t step,
    int32_t fours, const int8_t *weights, int32_t apart, int32_t vectors, int32_t count,
    qd_vector_t *acc) {
    qd_vector_t one[QD_WINDOWS], other[QD_WINDOWS];
    for (int32_t j = 0; j < count; j++) {
        one[j] = other[j] = QD_ZERO();
    }
    for (int32_t ky = 0; ky < p->window_height; ky++, x += line) {
        for (int32_t i = 0; i < fours; i++, weights += 64) {
            const qd_vector_t w = QD_GET(weights);
            const qd_vector_t more = vectors == 2 ? QD_GET(weights + apart) : w;
            for (int32_t j = 0; j < count; j++) {
                int32_t codes;
                memcpy(&codes, x + j * step + 4 * i, 4);
                const qd_vector_t four = QD_V(set1_epi32)(codes);
                /* Each sum stays in its register: compilers copy all of them in every turn. */
                one[j] = QD_DOT(one[j], four, w);
                QD_KEEP_VECTOR(one[j]);
                if (vectors == 2) {
                    other[j] = QD_DOT(other[j], four, more);
                    QD_KEEP_VECTOR(other[j]);
                }
            }
        }
    }
    for (int32_t j = 0; j < count; j++) {
        acc[j] = one[j];
        acc[QD_WINDOWS + j] = other[j];
    }
}
#else
/* Sums of `count` windows, `step` bytes apart, by eight filters. */
QD_INLINE void qd_vector_sums(const qd_conv_t *p, const uint8_t *x, int32_t line, int32_t step,
    int32_t fours, const int8_t *weights, int32_t apart, int32_t vectors, int32_t count,
    qd_vector_t *acc) {
    const __m256i ones = _mm256_set1_epi16(1);
    qd_vector_t all[QD_WINDOWS];
    int32_t left = p->most_fours;
    (void)apart;
    (void)vectors;
    for (int32_t j = 0; j < count; j++) {
        acc[j] = all[j] = QD_ZERO();
    }
    for (int32_t ky = 0; ky < p->window_height; ky++, x += line) {
        for (int32_t i = 0; i < fours; i++, weights += 64) {
            const qd_vector_t w = QD_GET(weights);
            for (int32_t j = 0; j < count; j++) {
                int32_t codes;
                memcpy(&codes, x + j * step + 4 * i, 4);
                acc[j] = QD_DOT(acc[j], QD_V(set1_epi32)(codes), w);
            }
            if (--left == 0) {
                left = p->most_fours;
                for (int32_t j = 0; j < count; j++) {
                    all[j] = _mm256_add_epi32(all[j], _mm256_madd_epi16(acc[j], ones));
                    acc[j] = QD_ZERO();
                }
            }
        }
    }
    for (int32_t j = 0; j < count; j++) {
        acc[j] = _mm256_add_epi32(all[j], _mm256_madd_epi16(acc[j], ones));
    }
}
#endif

/* Codes of one window's sums, to `out` from element `at` on. `lines` are the thresholds, at most three,
 * or multipliers and addends of QD_VECTOR filters. */
QD_INLINE void qd_vector_finish(const qd_conv_t *p, qd_vector_t sums, const uint32_t *lines,
    int32_t channel, int32_t filters, uint8_t *out, int32_t at) {
    if (lines != NULL) {
        const qd_vector_t first = QD_GET(lines), second = QD_GET(lines + QD_VECTOR);
        qd_vector_t v = QD_V(set1_epi32)(p->finish.base);
        if (p->finish.kind != QD_LINE32) {
            v = QD_COUNT(v, sums, first);
            v = QD_COUNT(v, sums, second);
            v = QD_COUNT(v, sums, QD_GET(lines + 2 * QD_VECTOR));
        } else {
            const qd_vector_t least = QD_V(set1_epi32)(p->finish.least);
            const qd_vector_t most = QD_V(set1_epi32)(p->finish.least + p->finish.levels);
            qd_vector_t code = QD_V(add_epi32)(QD_V(mullo_epi32)(first, sums), second);
            code = QD_V(srl_epi32)(code, _mm_cvtsi32_si128(p->finish.shift));
            code = QD_V(min_epu32)(QD_V(max_epu32)(code, least), most);
            v = QD_V(add_epi32)(v, QD_V(sub_epi32)(code, least));
        }
        if (filters == QD_VECTOR) {
            qd_vector_bytes(out + at, v);
        } else {
            uint8_t codes[QD_VECTOR];
            qd_vector_bytes(codes, v);
            memcpy(out + at, codes, (size_t)filters);
        }
    } else {
        int32_t each[QD_VECTOR];
        QD_PUT(each, sums);
        for (int32_t f = 0; f < filters; f++) {
            qd_store(out, p->out_type, at + f, qd_finish(&p->finish, channel + f, each[f]));
        }
    }
}

/* Columns from one window to the next where rows are staged: those between windows are left out. */
QD_INLINE int32_t qd_vector_stride(const qd_conv_t *p) {
    return p->stride_right < p->window_width ? p->stride_right : p->window_width;
}

/* Bytes of a row with its padding. */
QD_INLINE int32_t qd_vector_line(const qd_conv_t *p) {
    return ((p->out_width - 1) * qd_vector_stride(p) + p->window_width) * p->in_channels;
}

/* A row with its padding; zeros where `row` is NULL. */
static void qd_vector_stage(const qd_conv_t *p, const uint8_t *row, uint8_t *to) {
    const int32_t depth = p->in_channels, stride = qd_vector_stride(p);
    memset(to, 0, (size_t)qd_vector_line(p));
    if (row == NULL) {
        return;
    }
    if (stride == p->stride_right) {
        const int32_t covered = (p->out_width - 1) * stride + p->window_width - p->left;
        const int32_t there = covered < p->in_width ? covered : p->in_width;
        if (there > 0) {
            memcpy(to + p->left * depth, row, (size_t)(there * depth));
        }
        return;
    }
    for (int32_t ox = 0; ox < p->out_width; ox++, to += stride * depth) {
        for (int32_t kx = 0; kx < p->window_width; kx++) {
            const int32_t x = ox * p->stride_right - p->left + kx;
            if (x >= 0 && x < p->in_width) {
                memcpy(to + kx * depth, row + x * depth, (size_t)depth);
            }
        }
    }
}

/* As qd_conv_band; `staged` holds the rows that its windows cover, with their padding. */
static void qd_vector_band(const qd_conv_t *p, const uint8_t *staged, int32_t line, uint8_t *out,
    int32_t band, int32_t at) {
    const int32_t fours = (p->window_width * p->in_channels + 3) / 4;
    const int32_t step = qd_vector_stride(p) * p->in_channels, width = p->out_width;
    const int32_t apart = p->window_height * fours * 64;
    for (int32_t channel = 0; channel < p->out_channels;) {
        const int32_t left = p->out_channels - channel;
        const int32_t vectors = left > QD_VECTOR ? QD_TOGETHER : 1;
        const int32_t most = vectors * QD_VECTOR, there = left < most ? left : most;
        uint32_t lines[QD_TOGETHER][3 * QD_VECTOR];
        qd_vector_t sums[QD_TOGETHER * QD_WINDOWS];
        const int few = p->out_type <= QD_I8 && qd_is_few(&p->finish);
        const int line32 = p->out_type <= QD_I8 && p->finish.kind == QD_LINE32;
        for (int32_t f = 0; f < most && few; f++) {
            qd_few_t found;
            qd_few(&p->finish, channel + (f < there ? f : 0), &found);
            for (int32_t k = 0; k < 3; k++) {
                lines[f / QD_VECTOR][k * QD_VECTOR + f % QD_VECTOR] = (uint32_t)found.t[k];
            }
        }
        for (int32_t f = 0; f < most && line32; f++) {
            const int32_t c = qd_row(&p->finish, channel + (f < there ? f : 0));
            lines[f / QD_VECTOR][f % QD_VECTOR] = ((const uint32_t *)p->finish.table)[c];
            lines[f / QD_VECTOR][QD_VECTOR + f % QD_VECTOR] =
                ((const uint32_t *)p->finish.addends)[c];
        }
        const int8_t *const weights = p->vector + channel / 16 * apart + channel % 16 * 4;
        for (int32_t oy = 0; oy < band; oy++) {
            const uint8_t *const row = staged + oy * p->stride_down * line;
            for (int32_t ox = 0; ox < width; ox += QD_WINDOWS) {
                const int32_t more = width - ox, count = more < QD_WINDOWS ? more : QD_WINDOWS;
                const uint8_t *const x = row + ox * step;
                if (count == QD_WINDOWS && vectors == 2) {
                    qd_vector_sums(p, x, line, step, fours, weights, apart, 2, QD_WINDOWS, sums);
                } else if (count == QD_WINDOWS) {
                    qd_vector_sums(p, x, line, step, fours, weights, apart, 1, QD_WINDOWS, sums);
                } else {
                    qd_vector_sums(p, x, line, step, fours, weights, apart, vectors, count, sums);
                }
                for (int32_t v = 0; v < vectors; v++) {
                    const int32_t from = channel + v * QD_VECTOR, rest = p->out_channels - from;
                    for (int32_t j = 0; j < count; j++) {
                        const int32_t pixel = at + oy * width + ox + j;
                        qd_vector_finish(p, sums[v * QD_WINDOWS + j],
                            few || line32 ? lines[v] : NULL, from,
                            rest < QD_VECTOR ? rest : QD_VECTOR, out,
                            pixel * p->out_channels + from);
                    }
                }
            }
        }
        channel += most;
    }
}
#endif

#endif
