/* Weights of another network of the same shape, loaded into a bitstream that takes them. */
#ifndef QD_WEIGHTS_H
#define QD_WEIGHTS_H

#include <stddef.h>

#include "qd_accelerator.h"

/* What a file of weights has. It points into the file, which must stay while the weights are used. */
typedef struct {
    uint32_t crc;          /* CRC-32 of the image: what the hardware has to say when it took it */
    const uint8_t *image;  /* QD_WEIGHTS_BYTES for the core's configuration stream */
    const uint8_t *golden; /* results of the golden frames, four bytes each, as the self-test reads them */
} qd_weights;

/* Find the weights in a file that `qdeploy weights … --bin` wrote, in memory or in flash.
 *
 * data: of any alignment. size: bytes that may be read, the file's or more.
 * Returns QD_OK, QD_ERROR_WEIGHTS_FILE (no whole file of weights) or QD_ERROR_WEIGHTS_DESIGN (made from
 * another build). Touches no hardware. */
qd_status qd_weights_read(const void *data, size_t size, qd_weights *weights);

/* Load weights between batches, and read their checksum back from the hardware. Batches, and the
 * self-test, are those of their network from then on, until other weights or the bitstream are loaded.
 *
 * Returns QD_OK; QD_ERROR_ARGUMENT while a batch is under way; QD_ERROR_WEIGHTS_REFUSED (the core does
 * not take them, or took other bytes) or QD_ERROR_WEIGHTS_CRC (the checksum is another). After these two
 * no batch begins until weights are loaded whole. */
qd_status qd_load_weights(qd_device *device, const qd_weights *weights);

/* CRC-32 of bytes, that of zlib. */
uint32_t qd_crc32(const uint8_t *bytes, size_t size);

#endif
