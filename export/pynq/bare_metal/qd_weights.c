/* A file of weights is little-endian words of 32 bits, then bytes, see qdeploy/design/weights_file.py:
 *
 *     magic, version, design's id, bytes and CRC-32 of the image, golden frames, results of a frame
 *     results, one word each
 *     image
 *     CRC-32 of all before it */
#include "qd_weights.h"

#include "qd_port.h"

#define MAGIC 0x54574451u /* "QDWT" */
#define FORMAT 1u
#define HEADER 28u
#define WORD 4u

/* Registers of the shell, see rtl/qd_shell_regs.v. */
#define CONFIG 0x20u
#define CONFIG_BYTE 0x24u
#define CONFIG_CRC 0x28u
#define CONFIG_STATE 0x2Cu

#define COMPLETE (1u << 0)
#define INCOMPLETE (1u << 1)
#define TAKING (1u << 3)
#define WAITING (1u << 4)
#define LOST (1u << 5)
#define LAST (1u << 8)

/* Microseconds for the core to take what it was given: it is idle, and takes a byte per cycle. */
#define TAKE_TIME 1000000u

uint32_t qd_crc32(const uint8_t *bytes, size_t size) {
    /* Half a byte at a time: remainders of 0 to 15. */
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t k = 0; k < size; ++k) {
        crc ^= bytes[k];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

static uint32_t word(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

qd_status qd_weights_read(const void *data, size_t size, qd_weights *weights) {
    const uint8_t *bytes = data;
    if (bytes == NULL || weights == NULL) return QD_ERROR_ARGUMENT;
    if (size < HEADER + WORD || word(bytes) != MAGIC || word(bytes + 4) != FORMAT) {
        return QD_ERROR_WEIGHTS_FILE;
    }
    const uint32_t image = word(bytes + 12), frames = word(bytes + 20), elements = word(bytes + 24);
    /* Each of the three sizes is below 2^32, and what they add up to in whole numbers of 64 bits. */
    if (elements != 0 && frames > UINT32_MAX / elements) return QD_ERROR_WEIGHTS_FILE;
    const uint64_t results = (uint64_t)frames * elements * WORD;
    const uint64_t content = HEADER + results + image;
    if (content + WORD > size) return QD_ERROR_WEIGHTS_FILE;
    const uint8_t *end = bytes + (size_t)content;
    if (qd_crc32(bytes, (size_t)content) != word(end)) return QD_ERROR_WEIGHTS_FILE;
    /* It is whole; is it for this design? */
    if (word(bytes + 8) != QD_DESIGN_ID || image != QD_WEIGHTS_BYTES || elements != QD_OUT_ELEMENTS ||
        frames < QD_GOLDEN_FRAMES) {
        return QD_ERROR_WEIGHTS_DESIGN;
    }
    weights->crc = word(bytes + 16);
    weights->golden = bytes + HEADER;
    weights->image = end - image;
    return QD_OK;
}

/* Wait until bits of CONFIG_STATE are clear. */
static bool taken(const qd_device *device, uint32_t bits) {
    const uint64_t started = qd_port_microseconds();
    while (qd_port_read(device->shell + CONFIG_STATE) & bits) {
        if (qd_port_microseconds() - started > TAKE_TIME) return false;
    }
    return true;
}

static void write_byte(const qd_device *device, const uint8_t *image, uint32_t at) {
    const uint32_t last = at == QD_WEIGHTS_BYTES - 1u ? LAST : 0u;
    qd_port_write(device->shell + CONFIG_BYTE, image[at] | last);
}

static bool written(const qd_device *device, const uint8_t *image) {
    /* The core opens for the first byte; the others go as fast as they are written. */
    uint32_t at = 0;
    write_byte(device, image, at++);
    if (!taken(device, WAITING)) return false;
    for (; QD_WEIGHTS_BYTES - at > WORD; at += WORD) {
        qd_port_write(device->shell + CONFIG, word(image + at));
    }
    for (; at < QD_WEIGHTS_BYTES; ++at) write_byte(device, image, at);
    if (!taken(device, WAITING | TAKING)) return false;
    const uint32_t state = qd_port_read(device->shell + CONFIG_STATE);
    return (state & (COMPLETE | INCOMPLETE | LOST)) == COMPLETE;
}

qd_status qd_load_weights(qd_device *device, const qd_weights *weights) {
    if (weights == NULL || weights->image == NULL || device->frames != 0) return QD_ERROR_ARGUMENT;
    if (!device->clean) {
        const qd_status status = qd_recover(device);
        if (status != QD_OK) return status;
    }
    /* Whatever ends this early leaves parts of two networks in the memories. */
    device->weights_known = false;
    if (!written(device, weights->image)) {
        device->last.recovered = qd_recover(device) == QD_OK;
        return QD_ERROR_WEIGHTS_REFUSED;
    }
    device->weights_crc = qd_port_read(device->shell + CONFIG_CRC);
    if (device->weights_crc != weights->crc) return QD_ERROR_WEIGHTS_CRC;
    device->golden = weights->golden;
    device->weights_known = true;
    return QD_OK;
}
