/* Interface of native.c: packing and unpacking of the core's beats. */
#ifndef QD_NATIVE_H
#define QD_NATIVE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t frames, elements, per_beat, dma_bytes;
    uint32_t bits;       /* of a code, 1 to 16 */
    int32_t low;         /* the raw value of a table's first entry */
    uint32_t span;       /* entries of a row of the table */
    const uint32_t *order; /* place in the frame of each element of the stream; NULL: as it is */
    const uint16_t *row;   /* row of the table of each element of the stream; NULL: one row */
    const uint16_t *table; /* NULL: the raw value is the code, its upper bits not part of it */
} qd_input;

/* Frames of unsigned bytes, or of 32-bit integers, to (frames, elements / per_beat, dma_bytes). */
void qd_pack_u8(const qd_input *in, const uint8_t *source, uint8_t *out);
void qd_pack_i32(const qd_input *in, const int32_t *source, uint8_t *out);

/* (beats, dma_bytes) to (beats, per_beat) codes of 1 to 32 bits. */
void qd_unpack(const uint8_t *beats, size_t count, size_t per_beat, size_t dma_bytes, uint32_t bits,
               int is_signed, int64_t *out);

#endif
