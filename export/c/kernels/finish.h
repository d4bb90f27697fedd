/* What becomes of a sum: nothing, a bias, a table of thresholds, or a line that equals one.
 *
 *   search   base + #{k : acc >= T[c][k]}                       T ascends in k
 *   line     clip(floor((M[c] * acc + B[c]) / 2^shift), base, base + levels)
 *            `even`: exact multiples of 2^shift lose the low bit of their code
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
    QD_LINE = 5
};
enum { QD_EVEN = 1, QD_SHARED = 2 };

typedef struct {
    const void *table;   /* biases, thresholds, or multipliers of a line */
    const void *addends; /* of a line */
    int32_t base;
    int32_t levels;
    uint8_t kind;
    uint8_t shift; /* of a line; `flags` are its QD_EVEN and QD_SHARED */
    uint8_t flags;
} qd_finish_t;

#define QD_SEARCH(type)                                                                            \
    {                                                                                              \
        const type *t = (const type *)f->table + channel * f->levels;                              \
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
    const int32_t c = (f->flags & QD_SHARED) != 0 ? 0 : channel;
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

QD_INLINE int32_t qd_finish(const qd_finish_t *f, int32_t channel, int32_t acc) {
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
    default: return acc;
    }
}

#endif
