/* Packing and unpacking of the core's beats: what layout.py and packing.py do, element by element.
 *
 *   in    code = table[row][raw - low], element 0 in the least significant bits of a beat; beats are
 *         padded with zeros to the DMA's width
 *   out   the inverse, with or without sign
 *
 * Sizes and ranges are checked by the caller (native.py). C99, no more than the C library's headers;
 * 32 bits at a time, for processors without wider registers. */
#include "native.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void pack(const qd_input *in, const void *source, int wide, uint32_t bits, int small,
                 int order, int rows, int table, uint8_t *restrict out) {
    /* Copies: a byte written through `out` could otherwise be a byte of what `in` points at. */
    const uint8_t *restrict narrow_frame = source;
    const int32_t *restrict wide_frame = source;
    const uint32_t *restrict places = in->order;
    const uint16_t *restrict row = in->row, *restrict codes = in->table;
    const size_t elements = in->elements, per_beat = in->per_beat;
    const size_t in_dma = in->dma_bytes, padding = in_dma - (bits * per_beat + 7) / 8;
    const uint32_t mask = (1u << bits) - 1u, span = in->span;
    const int32_t low = in->low;
    for (size_t f = 0; f < in->frames; ++f) {
        for (size_t e = 0; e < elements;) {
            uint32_t held = 0, fill = 0;
            for (const size_t end = e + per_beat; e < end; ++e) {
                const size_t place = order ? places[e] : e;
                const int32_t raw = wide ? wide_frame[place] : narrow_frame[place];
                uint32_t code = (uint32_t)raw & mask;
                if (table) code = codes[(rows ? row[e] * span : 0) + (uint32_t)(raw - low)];
                if (bits == 8) {
                    *out++ = (uint8_t)code;
                    continue;
                }
                held |= code << fill;
                fill += bits;
                for (; !small && fill >= 8; fill -= 8) {
                    *out++ = (uint8_t)held;
                    held >>= 8;
                }
            }
            if (small) {
                /* A beat in one register, which is zero when it has left: padding too. */
                for (size_t k = 0; k < in_dma; ++k, held >>= 8) *out++ = (uint8_t)held;
                continue;
            }
            if (fill) *out++ = (uint8_t)held;
            for (size_t k = 0; k < padding; ++k) *out++ = 0;
        }
        narrow_frame += elements;
        wide_frame += elements;
    }
}

/* One loop for each common case, without the questions of the others. */
INLINE void pack_bits(const qd_input *in, const void *source, int wide, uint32_t bits, int small,
                      uint8_t *out) {
    if (!in->order) {
        if (!in->table) pack(in, source, wide, bits, small, 0, 0, 0, out);
        else if (!in->row) pack(in, source, wide, bits, small, 0, 0, 1, out);
        else pack(in, source, wide, bits, small, 0, 1, 1, out);
    } else {
        if (!in->table) pack(in, source, wide, bits, small, 1, 0, 0, out);
        else if (!in->row) pack(in, source, wide, bits, small, 1, 0, 1, out);
        else pack(in, source, wide, bits, small, 1, 1, 1, out);
    }
}

INLINE void pack_any(const qd_input *in, const void *source, int wide, uint8_t *out) {
    if (in->bits == 8) pack_bits(in, source, wide, 8, 0, out);
    else if (in->bits * in->per_beat <= 32) pack_bits(in, source, wide, in->bits, 1, out);
    else pack_bits(in, source, wide, in->bits, 0, out);
}

void qd_pack_u8(const qd_input *in, const uint8_t *source, uint8_t *out) {
    pack_any(in, source, 0, out);
}

void qd_pack_i32(const qd_input *in, const int32_t *source, uint8_t *out) {
    pack_any(in, source, 1, out);
}

#define UNPACK(held_type)                                                               \
    for (size_t b = 0; b < count; ++b, beats += dma_bytes) {                            \
        const uint8_t *from = beats;                                                    \
        held_type held = 0;                                                             \
        uint32_t fill = 0;                                                              \
        for (size_t k = 0; k < per_beat; ++k) {                                         \
            for (; fill < bits; fill += 8) held |= (held_type)*from++ << fill;          \
            const uint32_t code = (uint32_t)held << up;                                 \
            *out++ = is_signed ? (int64_t)((int32_t)code >> up) : (int64_t)(code >> up); \
            held >>= bits;                                                              \
            fill -= bits;                                                               \
        }                                                                               \
    }

void qd_unpack(const uint8_t *restrict beats, size_t count, size_t per_beat, size_t dma_bytes,
               uint32_t bits, int is_signed, int64_t *restrict out) {
    const uint32_t up = 32 - bits;
    /* A code and what is left of a byte; wider registers take longer where there are none. */
    if (bits <= 24) {
        UNPACK(uint32_t)
    } else {
        UNPACK(uint64_t)
    }
}
