/* Convolution of a band of rows at a time, four filters at a time.
 *
 * First the windows' rows are laid out in `scratch`, (column, row, unit), so that what a window
 * covers lies there as one vector of units, padding included as code 0, and all filters read it.
 * Then four filters are unpacked, in turn unit by unit, and go over all windows of the band; sums of
 * a row are finished filter by filter. Units are
 *
 *   QD_PAIRS  words of four pixels of a channel, a pixel or more apart
 *   QD_FOURS  words of four codes of a window's row
 *   QD_BYTES  codes of a window's row
 *
 * Words hold codes and weights of few bits, several products to a multiplication. With a word of
 * codes X = sum a[j] 2^(8j), j = 0..3, and one of weights W = sum v[k] 2^(8k) with their signs, the
 * product is sum f[m] 2^(8m) where f[m] = sum v[k] a[m - k] over all k that there are.
 *
 *   QD_FOURS  v[k] = w[3 - k], k = 0..3: f[3] is the dot product of four. Modulo 2^32 it is in the
 *             top byte.
 *   QD_PAIRS  v[k] = w[2 - k], k = 0..2: f[m] belongs to the output whose window begins at pixel
 *             m - 2 of the word: f[2] = sum w[t] a[t], f[3] = sum w[t] a[t + 1], t = 0..2. Modulo
 *             2^32 these two are whole: words begin every two pixels. In 64 bits there are f[0] to
 *             f[5]: words begin every four pixels, and what outputs share is added up. For that
 *             both factors are below 2^31.
 *
 * With 0 <= a <= A, products added up over units whose weights v[k] sum up to -N among the negative
 * and to P among the positive ones (of all k) keep every f[m] within -A N .. A P. Beginning with
 * `offset` >= A N in every byte, each byte stays within 0 .. offset + A P. Where that is at most 255
 * no byte carries into the next or borrows from it, and the bytes are offset + f[m]. For four
 * filters qdeploy takes the longest `run` of units for which all runs of all four have been checked
 * for it: so many products are added up before the bytes are read.
 */
#ifndef QD_CONV_STAGED_H
#define QD_CONV_STAGED_H

#include "layers.h"

enum { QD_PAIRS = 0, QD_FOURS = 1, QD_BYTES = 2 };

#include "conv_vector.h"

/* Where a 64-bit sum of products takes one instruction. */
#if !defined(QD_WIDE)
#if defined(__LP64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
#define QD_WIDE 1
#else
#define QD_WIDE 0
#endif
#endif

/* Where two products of 16 bits take one instruction: QD_BYTES are then words of two. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP) &&                      \
    defined(__thumb2__) && defined(__OPTIMIZE__) && !defined(__ARM_BIG_ENDIAN) && !defined(QD_PLAIN)
#define QD_DUAL 1
#else
#define QD_DUAL 0
#endif

/* Bytes of a window, of a row of windows, and of a row of sums. */
typedef struct {
    int32_t window, row, column, sums;
    int32_t columns;
} qd_sizes_t;

#if defined(QD_USE_PAIRS)
/* A row of pixels as words of four of them, of each channel. */
QD_NOINLINE void qd_stage_pairs(
    const qd_conv_t *p, const uint8_t *row, const qd_sizes_t *z, uint8_t *out) {
    const int32_t depth = p->in_channels, width = p->in_width, columns = z->columns;
#if QD_WIDE
    const int32_t step = 4 * depth, column = z->column;
    for (int32_t c = 0; c < depth; c++, out += 4) {
        const uint8_t *from = row + c;
        uint8_t *to = out;
        int32_t j = 0;
        for (; j < width / 4; j++, to += column, from += step) {
            qd_put_word(to, (uint32_t)from[0] | (uint32_t)from[depth] << 8 |
                                (uint32_t)from[2 * depth] << 16 | (uint32_t)from[3 * depth] << 24);
        }
        if (j < columns) {
            const int32_t left = width - 4 * j;
            qd_put_word(to, (uint32_t)from[0] | (left > 1 ? (uint32_t)from[depth] << 8 : 0u) |
                                (left > 2 ? (uint32_t)from[2 * depth] << 16 : 0u));
        }
    }
#else
    const int32_t before = 2 - p->left, step = 2 * depth, column = z->column;
    /* Words whose last two pixels are there. */
    const int32_t there = width > before ? (width - before) / 2 : 0;
    const int32_t whole = there < columns ? there : columns;
    for (int32_t c = 0; c < depth; c++, out += 4) {
        const uint8_t *from = row + c;
        uint8_t *to = out;
        uint32_t word = 0;
        int32_t j = 0;
        /* The first word's first two pixels. */
        for (int32_t k = 0; k < before && k < width; k++) {
            word |= (uint32_t)from[k * depth] << (8 * (4 + k - before));
        }
        from += before * depth;
        for (; j < whole; j++, to += column, from += step) {
            word = word >> 16 | (uint32_t)from[0] << 16 | (uint32_t)from[depth] << 24;
            qd_put_word(to, word);
        }
        for (; j < columns; j++, to += column) {
            word = word >> 16 | (before + 2 * j < width ? (uint32_t)from[0] << 16 : 0u);
            qd_put_word(to, word);
        }
    }
#endif
}
#endif

#if defined(QD_USE_FOURS) || defined(QD_USE_BYTES)
/* A row of pixels as windows' rows. */
QD_NOINLINE void qd_stage_windows(
    const qd_conv_t *p, const uint8_t *row, const qd_sizes_t *z, uint8_t *to) {
    const int32_t depth = p->in_channels, width = p->in_width;
    int32_t x = -p->left;
    for (int32_t j = z->columns; j > 0; j--, to += z->column, x += p->stride_right) {
        const int32_t end = (x + p->window_width > width ? width - x : p->window_width) * depth;
        const int32_t from = x * depth;
        int32_t i = 0;
#if defined(QD_USE_BYTES) && QD_DUAL
        if (p->unit == QD_BYTES) {
            for (; i < z->row / 2; i++) {
                const int inside = i >= -from && i < end;
                qd_store(to, QD_U16, i, inside ? (int32_t)row[from + i] : 0);
            }
            continue;
        }
#endif
        for (; i < -from; i++) {
            to[i] = 0;
        }
        if (depth % 4 == 0) {
            for (; i < end; i += 4) {
                qd_put_word(to + i, qd_word(row + (from + i), 0));
            }
        }
        for (; i < end; i++) {
            to[i] = row[from + i];
        }
        for (; i < z->row; i++) {
            to[i] = 0;
        }
    }
}
#endif

#if defined(QD_USE_PACKED)
/* Packed codes from `at` on, a byte each. */
QD_NOINLINE void qd_spread(
    const uint8_t *in, int32_t type, int32_t at, int32_t count, uint8_t *out) {
    int32_t i = 0;
    if (type == QD_U2 && at % 4 == 0) {
        for (const uint8_t *from = in + at / 4; i + 4 <= count; i += 4) {
            uint32_t word = *from++;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            word = (word | word << 12) & 0x000F000Fu;
            qd_put_word(out + i, (word | word << 6) & 0x03030303u);
#else
            out[i] = (uint8_t)(word & 3u);
            out[i + 1] = (uint8_t)(word >> 2 & 3u);
            out[i + 2] = (uint8_t)(word >> 4 & 3u);
            out[i + 3] = (uint8_t)(word >> 6);
#endif
        }
    }
    for (; i < count; i++) {
        out[i] = (uint8_t)qd_load(in, type, at + i);
    }
}
#endif

/* Rows of the input from y on as windows' rows; those outside of it are zeros. `spread` holds a row
 * of packed codes, a byte each. */
static void qd_stage(
    const qd_conv_t *p, const uint8_t *in, int32_t y, int32_t rows, const qd_sizes_t *z,
    uint8_t *spread, uint8_t *out) {
    const int32_t width = p->in_width * p->in_channels;
    (void)spread;
    for (int32_t r = 0; r < rows; r++, y++, out += z->row) {
        if (y < 0 || y >= p->in_height) {
            for (int32_t j = 0; j < z->columns; j++) {
                uint8_t *const to = out + j * z->column;
                int32_t i = 0;
                for (; z->row % 4 == 0 && i < z->row; i += 4) {
                    qd_put_word(to + i, 0);
                }
                for (; i < z->row; i++) {
                    to[i] = 0;
                }
            }
            continue;
        }
        const uint8_t *row = in + (p->in_type > QD_I32 ? 0 : QD_HELD(p, y) * width);
#if defined(QD_USE_PACKED)
        if (p->in_type > QD_I32) {
            qd_spread(in, p->in_type, QD_HELD(p, y) * width, width, spread);
            row = spread;
        }
#endif
#if defined(QD_USE_PAIRS)
        if (p->unit == QD_PAIRS) {
            qd_stage_pairs(p, row, z, out);
        }
#endif
#if defined(QD_USE_FOURS) || defined(QD_USE_BYTES)
        if (p->unit != QD_PAIRS) {
            qd_stage_windows(p, row, z, out);
        }
#endif
    }
}

/* ---- sums of one window, or one word's share of them, by four filters ---------------------- */

QD_INLINE void qd_add_word(uint8_t *s, int32_t i, uint32_t v) {
    qd_put_word(s + 4 * i, qd_word(s, i) + v);
}

/* Compilers run out of registers here. On Thumb-1 that is so with -Os even around these loops, and
 * with -fno-omit-frame-pointer: then QD_PLAIN is to be defined. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__thumb__) && defined(__OPTIMIZE__) &&     \
    (defined(__thumb2__) || !defined(__OPTIMIZE_SIZE__)) && !defined(QD_PLAIN)
#define QD_ASSEMBLER 1
#if defined(__thumb2__)
#define QD_BY_FOUR                                                                                 \
    "mla %2, r4, r3, %2\n mla %3, r5, r3, %3\n mla %4, r6, r3, %4\n mla %5, r8, r3, %5\n"
#define QD_FOUR "{r4, r5, r6, r8}"
#define QD_SUM "+r"
#define QD_CLOBBERED "r3", "r4", "r5", "r6", "r8", "cc", "memory"
#else
#define QD_BY_FOUR                                                                                 \
    "muls r4, r3, r4\n muls r5, r3, r5\n muls r6, r3, r6\n muls r7, r3, r7\n"                      \
    "add %2, r4\n add %3, r5\n add %4, r6\n add %5, r7\n"
#define QD_FOUR "{r4, r5, r6, r7}"
#define QD_SUM "+h"
#define QD_CLOBBERED "r3", "r4", "r5", "r6", "r7", "cc", "memory"
#endif
/* One word at a time until four at a time are left. */
#define QD_LOOPS(unit)                                                                             \
    __asm__ volatile(".syntax unified\n b 2f\n"                                                    \
                     "1:\n" unit                                                                   \
                     "2: subs r3, %6, %0\n lsls r3, r3, #28\n bne 1b\n cmp %0, %6\n beq 4f\n"      \
                     "3:\n" unit unit unit unit "cmp %0, %6\n bne 3b\n"                            \
                     "4:\n"                                                                        \
                     : "+l"(x), "+l"(w), QD_SUM(p[0]), QD_SUM(p[1]), QD_SUM(p[2]), QD_SUM(p[3])    \
                     : "l"(end)                                                                    \
                     : QD_CLOBBERED)
#define QD_WORD_UNIT "ldmia %0!, {r3}\n ldmia %1!, " QD_FOUR "\n" QD_BY_FOUR
#define QD_DUAL_UNIT                                                                               \
    "ldmia %0!, {r3}\n ldmia %1!, " QD_FOUR "\n"                                                   \
    "smlad %2, r4, r3, %2\n smlad %3, r5, r3, %3\n"                                                \
    "smlad %4, r6, r3, %4\n smlad %5, r8, r3, %5\n"
#define QD_BYTE_UNIT(i) "ldrb r3, [%0, #" #i "]\n ldmia %1!, " QD_FOUR "\n" QD_BY_FOUR
#else
#define QD_ASSEMBLER 0
#endif

#define QD_ADD(p, v)                                                                               \
    {                                                                                              \
        (p) += (v);                                                                                \
        QD_KEEP(p);                                                                                \
    }
#define QD_STEP(i, a)                                                                              \
    {                                                                                              \
        const uint32_t code = (a);                                                                 \
        QD_ADD(p[0], code * qd_word(w, 4 * (i)))                                                   \
        QD_ADD(p[1], code * qd_word(w, 4 * (i) + 1))                                               \
        QD_ADD(p[2], code * qd_word(w, 4 * (i) + 2))                                               \
        QD_ADD(p[3], code * qd_word(w, 4 * (i) + 3))                                               \
    }

#if (defined(QD_USE_PAIRS) && !QD_WIDE) || defined(QD_USE_FOURS)
QD_INLINE void qd_dot_words(const uint8_t *x, const uint8_t *end, const uint8_t *w, uint32_t *p) {
#if QD_ASSEMBLER
    QD_LOOPS(QD_WORD_UNIT);
#else
    for (; end - x >= 16; x += 16, w += 64) {
        QD_STEP(0, qd_word(x, 0))
        QD_STEP(1, qd_word(x, 1))
        QD_STEP(2, qd_word(x, 2))
        QD_STEP(3, qd_word(x, 3))
    }
    for (; x != end; x += 4, w += 16) {
        QD_STEP(0, qd_word(x, 0))
    }
#endif
}
#endif

#if defined(QD_USE_FOURS)
QD_NOINLINE void qd_sum_fours(
    const qd_run_t *p, const qd_sizes_t *z, const uint8_t *x, const uint8_t *filters, uint8_t *s) {
    const uint32_t begin = p->offset * 0x01010101u, first = 0u - (uint32_t)p->minus;
    const int32_t run = 4 * p->run;
    for (int32_t j = z->columns; j > 0; j--, x += z->column, s += 4) {
        const uint8_t *from = x, *w = filters, *const end = x + z->window;
        uint32_t sums[4] = {first, first, first, first};
        uint8_t *t = s;
        while (from != end) {
            const uint8_t *const to = end - from > run ? from + run : end;
            uint32_t q[4] = {begin, begin, begin, begin};
            qd_dot_words(from, to, w, q);
            for (int32_t i = 0; i < 4; i++) {
                sums[i] += q[i] >> 24;
            }
            from = to;
            w += 4 * run;
        }
        for (int32_t i = 0; i < 4; i++, t += z->sums) {
            qd_put_word(t, sums[i]);
        }
    }
}
#endif

#if defined(QD_USE_PAIRS) && !QD_WIDE
QD_NOINLINE void qd_sum_pairs(
    const qd_run_t *p, const qd_sizes_t *z, const uint8_t *x, const uint8_t *filters, uint8_t *s) {
    const uint32_t begin = p->offset * 0x01010101u, first = 0u - (uint32_t)p->minus;
    const int32_t run = 4 * p->run;
    for (int32_t j = z->columns; j > 0; j--, x += z->column, s += 8) {
        const uint8_t *from = x, *w = filters, *const end = x + z->window;
        uint32_t high[4] = {first, first, first, first}, low[4];
        uint8_t *t = s;
        low[0] = low[1] = low[2] = low[3] = first + (first << 8);
        while (from != end) {
            const uint8_t *const to = end - from > run ? from + run : end;
            uint32_t q[4] = {begin, begin, begin, begin};
            qd_dot_words(from, to, w, q);
            for (int32_t i = 0; i < 4; i++) {
                low[i] += q[i] >> 16; /* with the top byte, which goes off again below */
                high[i] += q[i] >> 24;
            }
            from = to;
            w += 4 * run;
        }
        for (int32_t i = 0; i < 4; i++, t += z->sums) {
            qd_put_word(t, low[i] - (high[i] << 8));
            qd_put_word(t + 4, high[i]);
        }
    }
}
#endif

#if defined(QD_USE_PAIRS) && QD_WIDE
#define QD_WIDE_STEP(i)                                                                            \
    {                                                                                              \
        const int64_t a = qd_load_i32(x, (i));                                                     \
        p[0] += a * qd_load_i32(w, 4 * (i));                                                       \
        p[1] += a * qd_load_i32(w, 4 * (i) + 1);                                                   \
        p[2] += a * qd_load_i32(w, 4 * (i) + 2);                                                   \
        p[3] += a * qd_load_i32(w, 4 * (i) + 3);                                                   \
    }
#define QD_WIDE_UNIT                                                                               \
    "ldr %6, [%0], #4\n ldrd %7, %8, [%1], #8\n"                                                   \
    "smlal %Q2, %R2, %6, %7\n smlal %Q3, %R3, %6, %8\n ldrd %7, %8, [%1], #8\n"                    \
    "smlal %Q4, %R4, %6, %7\n smlal %Q5, %R5, %6, %8\n"
QD_INLINE void qd_dot_wide(const uint8_t *x, const uint8_t *end, const uint8_t *w, int64_t *p) {
#if QD_ASSEMBLER
    int32_t a, v, u;
    __asm__ volatile("b 2f\n"
                     "1:\n" QD_WIDE_UNIT
                     "2: ldr %6, %9\n subs %6, %6, %0\n lsls %7, %6, #28\n bne 1b\n cbz %6, 4f\n"
                     "3:\n" QD_WIDE_UNIT QD_WIDE_UNIT QD_WIDE_UNIT QD_WIDE_UNIT
                     "ldr %6, %9\n cmp %6, %0\n bne 3b\n"
                     "4:\n"
                     : "+r"(x), "+r"(w), "+r"(p[0]), "+r"(p[1]), "+r"(p[2]), "+r"(p[3]), "=&l"(a),
                     "=&r"(v), "=&r"(u)
                     : "m"(end)
                     : "cc", "memory");
#else
    for (; end - x >= 16; x += 16, w += 64) {
        QD_WIDE_STEP(0) QD_WIDE_STEP(1) QD_WIDE_STEP(2) QD_WIDE_STEP(3)
    }
    for (; x != end; x += 4, w += 16) {
        QD_WIDE_STEP(0)
    }
#endif
}

QD_NOINLINE void qd_sum_pairs(
    const qd_run_t *p, const qd_sizes_t *z, const uint8_t *x, const uint8_t *filters, uint8_t *s) {
    const uint32_t begin = p->offset * 0x01010101u;
    const int64_t wide = (int64_t)((uint64_t)(begin & 0xFFFFu) << 32 | begin);
    const int32_t run = 4 * p->run;
    for (int32_t j = z->columns; j > 0; j--, x += z->column, s += 16) {
        const uint8_t *from = x, *w = filters, *const end = x + z->window;
        uint32_t even[4], odd[4], next[4];
        uint8_t *t = s;
        for (int32_t i = 0; i < 4; i++) {
            even[i] = odd[i] = next[i] = 0;
        }
        while (from != end) {
            const uint8_t *const to = end - from > run ? from + run : end;
            int64_t q[4] = {wide, wide, wide, wide};
            qd_dot_wide(from, to, w, q);
            for (int32_t i = 0; i < 4; i++) {
                const uint32_t low = (uint32_t)(uint64_t)q[i];
                const uint32_t high = (uint32_t)((uint64_t)q[i] >> 32);
                /* Two sums of 16 bits each: there are no more than 256 runs. */
                even[i] += low & 0xFF00FFu;
                odd[i] += low >> 8 & 0xFF00FFu;
                next[i] += (high | high << 8) & 0xFF00FFu;
            }
            from = to;
            w += 4 * run;
        }
        for (int32_t i = 0; i < 4; i++, t += z->sums) {
            qd_add_word(t, 0, even[i] & 0xFFFFu);
            qd_add_word(t, 1, odd[i] & 0xFFFFu);
            qd_add_word(t, 2, even[i] >> 16);
            qd_add_word(t, 3, odd[i] >> 16);
            qd_add_word(t, 4, next[i] & 0xFFFFu);
            qd_add_word(t, 5, next[i] >> 16);
        }
    }
}
#endif

#if defined(QD_USE_BYTES)
QD_NOINLINE void qd_sum_bytes(
    const qd_sizes_t *z, const uint8_t *column, const uint8_t *filters, uint8_t *s) {
    for (int32_t j = z->columns; j > 0; j--, column += z->column, s += 4) {
        /* Of single codes up to three more than a window has, by weights of 0. */
        const uint8_t *x = column, *w = filters, *const end = x + (z->window + 3) / 4 * 4;
        uint32_t p[4] = {0, 0, 0, 0};
        uint8_t *t = s;
#if QD_DUAL
        QD_LOOPS(QD_DUAL_UNIT);
#elif QD_ASSEMBLER
        __asm__ volatile(".syntax unified\n"
                         "1:\n" QD_BYTE_UNIT(0) QD_BYTE_UNIT(1) QD_BYTE_UNIT(2) QD_BYTE_UNIT(3)
                         "adds %0, #4\n cmp %0, %6\n bne 1b\n"
                         : "+l"(x), "+l"(w), QD_SUM(p[0]), QD_SUM(p[1]), QD_SUM(p[2]), QD_SUM(p[3])
                         : "l"(end)
                         : QD_CLOBBERED);
#else
        for (; x != end; x += 4, w += 64) {
            QD_STEP(0, x[0])
            QD_STEP(1, x[1])
            QD_STEP(2, x[2])
            QD_STEP(3, x[3])
        }
#endif
        for (int32_t i = 0; i < 4; i++, t += z->sums) {
            qd_put_word(t, p[i]);
        }
    }
}
#endif

/* ---- weights ------------------------------------------------------------------------------ */

#if defined(QD_USE_PAIRS) || defined(QD_USE_FOURS)
/* A filter's words, to every fourth word of `out`. */
QD_NOINLINE void qd_unpack_words(
    const uint8_t *row, uint32_t bits, uint32_t terms, int32_t least, int32_t count, uint8_t *out) {
    const uint32_t field = ((uint32_t)1 << bits) - 1u, gap = 8u - bits;
    const uint32_t mask = field * (terms == 3 ? 0x010101u : 0x01010101u);
    const uint32_t less = (uint32_t)least * (terms == 3 ? 0x010101u : 0x01010101u);
    const uint32_t group = bits * terms;
    uint32_t held = 0, have = 0;
    for (; bits == 2 && terms == 3 && count >= 4; count -= 4) {
        held = (uint32_t)row[0] | (uint32_t)row[1] << 8 | (uint32_t)row[2] << 16;
        row += 3;
        for (int32_t i = 0; i < 4; i++, out += 16, held >>= 6) {
            qd_put_word(out, (((held & 63u) * 0x1041u) & mask) + less);
        }
    }
    held = 0;
    for (; count > 0; count--, out += 16) {
        uint32_t word;
        while (have < group) {
            held |= (uint32_t)*row++ << have;
            have += 8;
        }
        if (bits <= 2) {
            /* The groups' bits are no more than 8: fields move without meeting others. */
            word = held & (((uint32_t)1 << group) - 1u);
            word |= word << 2 * gap;
            word = (word | word << gap) & mask;
        } else {
            word = (held & field) + (held << gap & field << 8) + (held << 2 * gap & field << 16);
            word += held << 3 * gap & field << 24 & mask;
        }
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        if (terms == 4) {
            /* The first code of a word in memory is in its top byte. */
            word = word >> 24 | (word >> 8 & 0xFF00u) | (word & 0xFF00u) << 8 | word << 24;
        }
#endif
        held >>= group;
        have -= group;
        qd_put_word(out, word + less);
    }
}
#endif

#if defined(QD_USE_BYTES)
/* A filter's weights, to every fourth word of `out`: rows of `units`, or all of them as one. */
QD_NOINLINE void qd_unpack_bytes(
    const uint8_t *row, uint32_t bits, int32_t least, int32_t rows, int32_t units, uint8_t *out) {
    const uint32_t mask = ((uint32_t)1 << bits) - 1u;
    uint32_t held = 0, have = 0;
    for (; rows > 0; rows--) {
        int32_t i = 0;
        for (; i < units; i++) {
            uint32_t weight;
            if (have < bits) {
                held |= (uint32_t)*row++ << have;
                have += 8;
            }
            weight = (held & mask) + (uint32_t)least;
            held >>= bits;
            have -= bits;
#if QD_DUAL
            qd_store(out, QD_I16, 8 * (i / 2) + i % 2, (int32_t)weight);
#else
            qd_put_word(out + 16 * i, weight);
#endif
        }
#if QD_DUAL
        for (; i % 2 != 0; i++) {
            qd_store(out, QD_I16, 8 * (i / 2) + i % 2, 0);
        }
        out += 8 * i;
#else
        for (; i % 4 != 0; i++) {
            qd_put_word(out + 16 * i, 0);
        }
#endif
    }
}
#endif

#if defined(QD_USE_TRITS)
/* Fields that are packed five to a byte, as in unpack.h, as fields of two bits. */
QD_NOINLINE void qd_expand(const uint8_t *row, int32_t bytes, uint8_t *out) {
    uint32_t bits = 0, have = 0;
    for (; bytes > 0; bytes--) {
        uint32_t held = *row++;
        for (uint32_t k = 0; k < 5; k++) {
            held *= 3u;
            bits |= held >> 8 << (have + 2 * k);
            held &= 0xFFu;
        }
        for (have += 10; have >= 8; have -= 8) {
            *out++ = (uint8_t)bits;
            bits >>= 8;
        }
    }
    *out = (uint8_t)bits;
}
#endif

/* Filters that are not there are the last one once more. `fields` holds a row of 2 bits. */
static void qd_unpack_four(const qd_conv_t *p, const qd_sizes_t *z, int32_t channel,
    uint8_t *fields, uint8_t *filters) {
    const uint8_t bits = p->bits != 0 ? p->bits : 2;
    (void)fields;
    for (int32_t i = 0; i < 4; i++) {
        const int32_t filter = channel + i < p->out_channels ? channel + i : p->out_channels - 1;
        const uint8_t *row = p->weights + filter * p->row_bytes;
#if defined(QD_USE_TRITS)
        if (p->bits == 0) {
            qd_expand(row, p->row_bytes, fields);
            row = fields;
        }
#endif
#if defined(QD_USE_BYTES)
        if (p->unit == QD_BYTES) {
            const int32_t rows = QD_DUAL ? p->window_height : 1;
            qd_unpack_bytes(row, bits, p->least, rows, p->window_height * p->units / rows,
                filters + 4 * i);
            continue;
        }
#endif
#if defined(QD_USE_PAIRS) || defined(QD_USE_FOURS)
        qd_unpack_words(
            row, bits, p->unit == QD_PAIRS ? 3 : 4, p->least, z->window / 4, filters + 4 * i);
#endif
        (void)z;
    }
}

/* ---- the layer ---------------------------------------------------------------------------- */

#if defined(QD_USE_PAIRS) && QD_WIDE
/* What four rows of sums begin with: less the offsets that the words bring that have a share. */
QD_NOINLINE void qd_begin_sums(const qd_run_t *p, const qd_sizes_t *z, uint8_t *begin) {
    for (int32_t i = 0; i < z->sums; i += 4) {
        qd_put_word(begin + i, 0u);
    }
    for (int32_t j = 0; j < z->columns; j++) {
        for (int32_t i = 0; i < 6; i++) {
            qd_add_word(begin, 4 * j + i, 0u - (uint32_t)p->minus);
        }
    }
}

static void qd_copy_sums(const qd_sizes_t *z, const uint8_t *begin, uint8_t *sums) {
    for (int32_t i = 0; i < z->sums; i += 4, sums += 4) {
        const uint32_t v = qd_word(begin + i, 0);
        qd_put_word(sums, v);
        qd_put_word(sums + z->sums, v);
        qd_put_word(sums + 2 * z->sums, v);
        qd_put_word(sums + 3 * z->sums, v);
    }
}
#endif

/* Sums of all windows of a row by four filters. */
static void qd_sum_row(const qd_conv_t *p, const qd_run_t *runs, const qd_sizes_t *z,
    const uint8_t *x, const uint8_t *filters, const uint8_t *begin, uint8_t *sums) {
    (void)begin;
    (void)runs;
#if defined(QD_USE_BYTES)
    if (p->unit == QD_BYTES) {
        qd_sum_bytes(z, x, filters, sums);
    }
#endif
#if defined(QD_USE_PAIRS)
    if (p->unit == QD_PAIRS) {
#if QD_WIDE
        qd_copy_sums(z, begin, sums);
#endif
        qd_sum_pairs(runs, z, x, filters, sums);
    }
#endif
#if defined(QD_USE_FOURS)
    if (p->unit == QD_FOURS) {
        qd_sum_fours(runs, z, x, filters, sums);
    }
#endif
}

/* `band` rows of the result from `first` on, to `out` from its pixel `at` on. */
QD_NOINLINE void qd_conv_band(const qd_conv_t *p, const uint8_t *in, uint8_t *out, uint8_t *scratch,
    int32_t first, int32_t band, int32_t at) {
    const int32_t width = p->out_width, wide = QD_WIDE && p->unit == QD_PAIRS;
    const int32_t rows = (band - 1) * p->stride_down + p->window_height;
    uint8_t *filters, *begin, *sums, *staged, *spread, *fields;
    qd_sizes_t z;
#if QD_VECTOR
    if (p->vector != NULL && (QD_VECTOR == 16 || p->unit != QD_BYTES)) {
        const int32_t line = qd_vector_line(p), length = p->in_width * p->in_channels;
        int32_t y = first * p->stride_down - p->top;
        spread = scratch;
        staged = spread + (p->in_type > QD_I32 ? (length + 3) / 4 * 4 : 0);
        for (int32_t r = 0; r < rows; r++, y++) {
            const uint8_t *row = y < 0 || y >= p->in_height ? NULL : spread;
            if (row != NULL && p->in_type <= QD_I32) {
                row = in + QD_HELD(p, y) * length;
            }
#if defined(QD_USE_PACKED)
            if (row == spread) {
                qd_spread(in, p->in_type, QD_HELD(p, y) * length, length, spread);
            }
#endif
            qd_vector_stage(p, row, staged + r * line);
        }
        qd_vector_band(p, staged, line, out, band, at);
        return;
    }
#endif
    z.row = p->unit != QD_BYTES ? 4 * p->units : QD_DUAL ? (p->units + 1) / 2 * 4 : p->units;
    z.window = p->window_height * z.row;
    z.columns = wide ? (p->in_width + 3) / 4 : p->columns;
    z.sums = 4 * (p->unit != QD_PAIRS ? z.columns : wide ? 4 * z.columns + 2 : 2 * z.columns);
    z.column = rows * z.row;
    spread = scratch;
    fields = spread + (p->in_type > QD_I32 ? (p->in_width * p->in_channels + 3) / 4 * 4 : 0);
    /* The bytes of five to a byte have 10 bits of fields. */
    filters = fields + (p->bits == 0 ? (p->row_bytes * 5 / 4 + 4) / 4 * 4 : 0);
    begin = filters + (p->unit == QD_BYTES && !QD_DUAL ? (z.window + 3) / 4 * 64 : 4 * z.window);
    sums = begin + z.sums;
    staged = sums + 4 * z.sums;
    qd_stage(p, in, first * p->stride_down - p->top, rows, &z, spread, staged);
    for (int32_t channel = 0; channel < p->out_channels; channel += 4) {
        /* Runs that there are none of have no address to go on from. */
        const qd_run_t *const runs = p->runs == NULL ? NULL : p->runs + channel / 4;
        qd_few_t few[4];
        qd_unpack_four(p, &z, channel, fields, filters);
        for (int32_t i = 0; i < 4 && qd_is_few(&p->finish); i++) {
            const int32_t filter = channel + i;
            qd_few(&p->finish, filter < p->out_channels ? filter : channel, &few[i]);
        }
#if defined(QD_USE_PAIRS) && QD_WIDE
        if (wide) {
            qd_begin_sums(runs, &z, begin);
        }
#endif
        for (int32_t oy = 0; oy < band; oy++) {
            const int32_t place = (at + oy * width) * p->out_channels + channel;
            const uint8_t *const x = staged + oy * p->stride_down * z.row;
            qd_sum_row(p, runs, &z, x, filters, begin, sums);
            for (int32_t i = 0; i < 4 && channel + i < p->out_channels; i++) {
                /* The first word's f[2 - left] is of the first output. */
                const uint8_t *const s = sums + i * z.sums + (wide ? 4 * (2 - p->left) : 0);
                qd_finish_row(&p->finish, channel + i, &few[i], s, width, out, place + i,
                    p->out_channels, p->out_type);
            }
        }
    }
}

QD_NOINLINE void qd_conv_staged(
    const qd_conv_t *p, const uint8_t *in, uint8_t *out, uint8_t *scratch) {
    for (int32_t first = 0; first < p->out_height; first += p->band) {
        const int32_t left = p->out_height - first;
        qd_conv_band(p, in, out, scratch, first, left < p->band ? left : p->band, first * p->out_width);
    }
}

#endif
