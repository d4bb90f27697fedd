/* What becomes of a sum: nothing, a bias, a table of thresholds, or what equals one.
 *
 *   search   base + #{k : acc >= T[c][k]}                       T ascends in k
 *   line     clip(floor((M[c] * acc + B[c]) / 2^shift), base, base + levels)
 *            `even`: exact multiples of 2^shift lose the low bit of their code
 *   line32   base - least + clip((M[c] * acc + B[c]) >> shift, least, least + levels), without
 *            signs: 0 <= M[c] * acc + B[c] < 2^32 for every acc that there can be
 *   lookup   T[acc - base], the code's byte
 *
 * `shared`: all channels have the values of channel 0.
 */
#ifndef QD_FINISH_H
#define QD_FINISH_H

#include "common.h"

enum {
    QD_NOTHING = 0,
    QD_BIAS = 1,
    QD_SEARCH8 = 2,
    QD_SEARCH16 = 3,
    QD_SEARCH32 = 4,
    QD_LINE = 5,
    QD_LINE32 = 6,
    QD_LOOKUP = 7
};
enum { QD_EVEN = 1, QD_SHARED = 2 };

typedef struct {
    const void *table;   /* biases, thresholds, codes, or multipliers of a line */
    const void *addends; /* of a line */
    int32_t base;
    uint16_t levels;
    uint16_t least; /* of line32 */
    uint8_t kind;
    uint8_t shift; /* of a line; `flags` are QD_EVEN and QD_SHARED */
    uint8_t flags;
} qd_finish_t;

QD_INLINE int32_t qd_row(const qd_finish_t *f, int32_t channel) {
    return (f->flags & QD_SHARED) != 0 ? 0 : channel;
}

/* Threshold k of a channel. */
QD_INLINE int32_t qd_threshold(const qd_finish_t *f, int32_t channel, int32_t k) {
    const int32_t at = qd_row(f, channel) * f->levels + k;
#if defined(QD_USE_SEARCH8)
    if (f->kind == QD_SEARCH8) {
        return (int32_t)((const int8_t *)f->table)[at];
    }
#endif
#if defined(QD_USE_SEARCH16)
    if (f->kind == QD_SEARCH16) {
        return (int32_t)((const int16_t *)f->table)[at];
    }
#endif
    return ((const int32_t *)f->table)[at];
}

/* Up to three thresholds of a channel; one that there is not is never reached. */
typedef struct {
    int32_t t[3];
    uint32_t base;
} qd_few_t;

QD_INLINE int qd_is_few(const qd_finish_t *f) {
    return f->kind >= QD_SEARCH8 && f->kind <= QD_SEARCH32 && f->levels <= 3;
}

QD_NOINLINE void qd_few(const qd_finish_t *f, int32_t channel, qd_few_t *found) {
    for (int32_t k = 0; k < 3; k++) {
        found->t[k] = k < f->levels ? qd_threshold(f, channel, k) : INT32_MAX;
    }
    found->base = (uint32_t)f->base;
}

/* How many of three ascending thresholds a sum reaches. */
QD_INLINE uint32_t qd_few_count(int32_t acc, int32_t t0, int32_t t1, int32_t t2) {
    if (acc >= t1) {
        return acc >= t2 ? 3u : 2u;
    }
    return acc >= t0 ? 1u : 0u;
}

#define QD_SEARCH(type)                                                                            \
    {                                                                                              \
        const type *t = (const type *)f->table + qd_row(f, channel) * f->levels;                   \
        int32_t low = 0, high = f->levels;                                                         \
        while (low < high) {                                                                       \
            const int32_t middle = (int32_t)((uint32_t)(low + high) >> 1);                         \
            if (acc >= (int32_t)t[middle]) {                                                       \
                low = middle + 1;                                                                  \
            } else {                                                                               \
                high = middle;                                                                     \
            }                                                                                      \
        }                                                                                          \
        return f->base + low;                                                                      \
    }

#if defined(QD_USE_LINE)
QD_NOINLINE int32_t qd_line(const qd_finish_t *f, int32_t channel, int32_t acc) {
    const int32_t c = qd_row(f, channel);
    const int64_t m = (int64_t)((const int32_t *)f->table)[c];
    const int64_t v = m * acc + ((const int64_t *)f->addends)[c];
    /* Floor without shifting a negative number: -(x + 1) is ~x. */
    int64_t code = v >= 0 ? v >> f->shift : ~((~v) >> f->shift);
    if ((f->flags & QD_EVEN) != 0 && ((uint64_t)v & (((uint64_t)1 << f->shift) - 1u)) == 0u) {
        code -= code & 1;
    }
    if (code < f->base) {
        return f->base;
    }
    return code > (int64_t)f->base + f->levels ? f->base + f->levels : (int32_t)code;
}
#endif

#if defined(QD_USE_LINE32)
QD_INLINE int32_t qd_line32(const qd_finish_t *f, int32_t channel, int32_t acc) {
    const int32_t c = qd_row(f, channel);
    const uint32_t m = ((const uint32_t *)f->table)[c], least = f->least;
    uint32_t code = (m * (uint32_t)acc + ((const uint32_t *)f->addends)[c]) >> f->shift;
    code = code < least ? least : code;
    code = code > least + f->levels ? least + f->levels : code;
    return f->base + (int32_t)(code - least);
}
#endif

QD_NOINLINE int32_t qd_finish(const qd_finish_t *f, int32_t channel, int32_t acc) {
    (void)channel;
    switch (f->kind) {
#if defined(QD_USE_BIAS)
    case QD_BIAS: return acc + ((const int32_t *)f->table)[channel];
#endif
#if defined(QD_USE_SEARCH8)
    case QD_SEARCH8: QD_SEARCH(int8_t)
#endif
#if defined(QD_USE_SEARCH16)
    case QD_SEARCH16: QD_SEARCH(int16_t)
#endif
#if defined(QD_USE_SEARCH32)
    case QD_SEARCH32: QD_SEARCH(int32_t)
#endif
#if defined(QD_USE_LINE)
    case QD_LINE: return qd_line(f, channel, acc);
#endif
#if defined(QD_USE_LINE32)
    case QD_LINE32: return qd_line32(f, channel, acc);
#endif
#if defined(QD_USE_LOOKUP)
    case QD_LOOKUP: return (int32_t)((const uint8_t *)f->table)[acc - f->base];
#endif
    default: return acc;
    }
}

#if defined(QD_USE_STAGED)
/* Sums of a channel, one word after the other, to codes that are `apart` elements from each other, the
 * first one at `at`. `few` are the channel's thresholds where they are few. */
QD_NOINLINE void qd_finish_row(const qd_finish_t *f, int32_t channel, const qd_few_t *few,
    const uint8_t *sums, int32_t count, uint8_t *out, int32_t at, int32_t apart, int32_t type) {
    const uint8_t *const end = sums + 4 * count;
    if (type <= QD_I8) {
        out += at;
        at = 0;
    }
    if (type <= QD_I8 && qd_is_few(f)) {
        const int32_t t0 = few->t[0], t1 = few->t[1], t2 = few->t[2];
        const uint32_t base = few->base;
#define QD_FEW(i)                                                                                  \
    *out = (uint8_t)(base + qd_few_count((int32_t)qd_word(sums, (i)), t0, t1, t2));                \
    out += apart;
        for (; end - sums >= 16; sums += 16) {
            QD_FEW(0) QD_FEW(1) QD_FEW(2) QD_FEW(3)
        }
        for (; sums != end; sums += 4) {
            QD_FEW(0)
        }
        return;
    }
#if defined(QD_USE_LINE32)
    if (type <= QD_I8 && f->kind == QD_LINE32) {
        const int32_t c = qd_row(f, channel);
        const uint32_t m = ((const uint32_t *)f->table)[c], b = ((const uint32_t *)f->addends)[c];
        const uint32_t shift = f->shift, least = f->least, most = least + f->levels;
        const uint32_t base = (uint32_t)f->base - least;
#define QD_LINE_CODE(i)                                                                            \
    {                                                                                              \
        uint32_t code = (m * qd_word(sums, (i)) + b) >> shift;                                     \
        code = code < least ? least : code;                                                        \
        code = code > most ? most : code;                                                          \
        *out = (uint8_t)(base + code);                                                             \
        out += apart;                                                                              \
    }
        for (; end - sums >= 16; sums += 16) {
            QD_LINE_CODE(0) QD_LINE_CODE(1) QD_LINE_CODE(2) QD_LINE_CODE(3)
        }
        for (; sums != end; sums += 4) {
            QD_LINE_CODE(0)
        }
        return;
    }
#endif
#if defined(QD_USE_PACKED)
    /* Where codes of a channel have one place in their bytes. */
    if (type > QD_I32 && qd_is_few(f) && apart % (8 >> (type - QD_U1)) == 0) {
        const int32_t log = type - QD_U1, step = apart >> (3 - log);
        const uint32_t shift = ((uint32_t)at & ((8u >> log) - 1u)) << log;
        const uint32_t others = ~((((uint32_t)1 << ((uint32_t)1 << log)) - 1u) << shift);
        const int32_t t0 = few->t[0], t1 = few->t[1], t2 = few->t[2];
        const uint32_t base = few->base;
        out += at >> (3 - log);
        for (; sums != end; sums += 4, out += step) {
            const uint32_t code = base + qd_few_count((int32_t)qd_word(sums, 0), t0, t1, t2);
            *out = (uint8_t)((*out & others) | code << shift);
        }
        return;
    }
#endif
    for (; sums != end; sums += 4, at += apart) {
        qd_store(out, type, at, qd_finish(f, channel, (int32_t)qd_word(sums, 0)));
    }
}
#endif

#endif
