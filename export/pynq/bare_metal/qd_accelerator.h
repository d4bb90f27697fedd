/* The accelerator without an operating system: C99, no heap, no interrupts.
 *
 *     static uint8_t in[QD_IN_BYTES(8)] QD_ALIGNED, out[QD_OUT_BYTES(8)] QD_ALIGNED;
 *     qd_device device;
 *     qd_status status = qd_open(&device, QD_DMA_BASE, QD_SHELL_BASE);
 *     if (status == QD_OK) status = qd_run(&device, in, out, 8);
 *
 * One transfer in each direction carries a batch of frames. After any error DMA and core have been
 * reset and the next batch starts clean; where that failed, the next call tries it again. */
#ifndef QD_ACCELERATOR_H
#define QD_ACCELERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "qd_design.h"

/* Bytes of the buffers of a batch: whole cache lines, so that nothing else shares one. */
#define QD_ROUNDED(bytes) (((bytes) + QD_ALIGNMENT - 1u) / QD_ALIGNMENT * QD_ALIGNMENT)
#define QD_IN_BYTES(frames) QD_ROUNDED((frames)*QD_IN_FRAME_BYTES)
#define QD_OUT_BYTES(frames) QD_ROUNDED((frames)*QD_OUT_FRAME_BYTES)
#define QD_ALIGNED __attribute__((aligned(QD_ALIGNMENT)))

/* Frames of a batch at most: what the DMA's length register holds. */
#define QD_MOST_BYTES ((1u << QD_LENGTH_BITS) - 1u)
#define QD_MOST_FRAMES \
    (QD_MOST_BYTES / (QD_IN_FRAME_BYTES > QD_OUT_FRAME_BYTES ? QD_IN_FRAME_BYTES : QD_OUT_FRAME_BYTES))

typedef enum {
    QD_OK = 0,
    QD_BUSY,                /* of qd_poll: the batch is under way */
    QD_ERROR_ARGUMENT,      /* no frames, too many, no buffer, or a second batch before the first ends */
    QD_ERROR_ALIGNMENT,     /* a buffer is not at a multiple of QD_ALIGNMENT */
    QD_ERROR_ADDRESS,       /* a buffer is beyond the DMA's 32 address bits */
    QD_ERROR_NO_SHELL,      /* no qdeploy shell at that address: another bitstream, or none */
    QD_ERROR_SHELL_VERSION, /* the shell's registers are of another version */
    QD_ERROR_OTHER_DESIGN,  /* the bitstream is of another network, or of other weights */
    QD_ERROR_DESCRIPTORS,   /* the DMA was built with scatter-gather */
    QD_ERROR_DMA_RESET,     /* the DMA's reset does not end */
    QD_ERROR_DMA_START,     /* a channel of the DMA stays halted */
    QD_ERROR_CORE_RESET,    /* the core stays in reset: is its clock running? */
    QD_ERROR_SEND,          /* MM2S has stopped; `mm2s_status` has the error */
    QD_ERROR_RECEIVE,       /* S2MM has stopped; `s2mm_status` has the error */
    QD_ERROR_SEND_TIMEOUT,  /* the core did not take all of its input */
    QD_ERROR_RECEIVE_TIMEOUT, /* the core took its input and gave too few results */
    QD_ERROR_LENGTH,        /* the results have another length than the batch's */
    QD_ERROR_MISMATCH,      /* of qd_selftest: an integer is wrong */
    /* Of a bitstream that takes weights, see qd_weights.h. */
    QD_ERROR_WEIGHTS_UNKNOWN, /* another program left other weights, or loading them went wrong */
    QD_ERROR_WEIGHTS_FILE,    /* no whole file of weights */
    QD_ERROR_WEIGHTS_DESIGN,  /* a file of weights for another build */
    QD_ERROR_WEIGHTS_REFUSED, /* the core did not take the weights, or took other bytes */
    QD_ERROR_WEIGHTS_CRC      /* the checksum read back is not that of the weights */
} qd_status;

/* What the hardware said at the end of the last batch, before it was reset. */
typedef struct {
    uint32_t mm2s_status, s2mm_status; /* DMASR; qd_dma_error_name names its bits */
    uint32_t shell_status;             /* STATUS: bit 0 in reset, bit 1 running, bit 2 error */
    uint32_t frames_done;              /* frames of the batch that have left */
    uint32_t bytes;                    /* that S2MM wrote, where it was complete */
    uint32_t cycles;                   /* of the core's clock, first beat in to last beat out */
    bool recovered;                    /* after an error: the reset succeeded */
} qd_details;

typedef struct {
    uintptr_t dma, shell;  /* base addresses of the registers */
    uint64_t timeout;      /* microseconds a batch may take; qd_open sets 10 s */
    qd_details last;
    uint32_t weights_crc;  /* of the weights in use, 0 where they never change */
    /* The driver's own. */
    uint8_t *out;
    uint32_t frames;
    uint64_t started, allowed;
    bool clean;
    bool weights_known;
    const uint8_t *golden; /* results of the golden frames with loaded weights; NULL: the design's own */
} qd_device;

/* Check that this is the bitstream of this package, and put DMA and core in the state before a
 * batch, whatever they are doing. */
qd_status qd_open(qd_device *device, uintptr_t dma, uintptr_t shell);

/* Begin a batch: QD_IN_BYTES(frames) of packed beats (native.h packs), to QD_OUT_BYTES(frames).
 * The processor must not touch `out` until the batch has ended. */
qd_status qd_begin(qd_device *device, const uint8_t *in, uint8_t *out, uint32_t frames);

/* How the batch that was begun stands: QD_BUSY, QD_OK with its results in `out`, or an error. */
qd_status qd_poll(qd_device *device);

/* Begin a batch and wait for its end. */
qd_status qd_run(qd_device *device, const uint8_t *in, uint8_t *out, uint32_t frames);

/* Reset DMA and core, and forget a batch that is under way. */
qd_status qd_recover(qd_device *device);

/* A status in words. */
const char *qd_status_text(qd_status status);

#endif
