/* Rows of packed weights: a stream of fields, the first in the lowest bits; weight = field + least.
 *
 * `bits` of 0: five fields of three values to a byte. Three times the byte is 256 times the first
 * field, plus the byte of the other ones. */
#ifndef QD_UNPACK_H
#define QD_UNPACK_H

#include "common.h"

#if defined(QD_USE_WEIGHTS8)
QD_NOINLINE void qd_unpack_i8(
    const uint8_t *row, int32_t bits, int32_t least, int32_t count, uint8_t *out) {
    const uint32_t mask = ((uint32_t)1 << bits) - 1u;
    uint32_t held = 0;
    int32_t have = 0;
#if defined(QD_USE_TRITS)
    if (bits == 0) {
        for (int32_t i = 0; i < count; i++) {
            held = 3u * (i % 5 == 0 ? (uint32_t)*row++ : held & 0xFFu);
            out[i] = (uint8_t)((held >> 8) + (uint32_t)least);
        }
        return;
    }
#endif
    for (int32_t i = 0; i < count; i++) {
        if (have < bits) {
            held |= (uint32_t)*row++ << have;
            have += 8;
        }
        out[i] = (uint8_t)((held & mask) + (uint32_t)least);
        held >>= bits;
        have -= bits;
    }
}
#endif

#if defined(QD_USE_WEIGHTS16)
QD_NOINLINE void qd_unpack_i16(
    const uint8_t *row, int32_t bits, int32_t least, int32_t count, uint8_t *out) {
    (void)bits;
    for (int32_t i = 0; i < count; i++) {
        const int32_t field = (int32_t)row[2 * i] | (int32_t)row[2 * i + 1] << 8;
        qd_store(out, QD_I16, i, field + least);
    }
}
#endif

#endif
