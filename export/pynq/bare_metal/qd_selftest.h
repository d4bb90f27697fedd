/* The self-test: golden frames through the FPGA, every integer compared. */
#ifndef QD_SELFTEST_H
#define QD_SELFTEST_H

#include "qd_accelerator.h"

typedef struct {
    uint32_t packing_mismatches; /* bytes of packed frames that differ from the package's */
    uint32_t batch_mismatches;   /* integers, of all golden frames as one batch */
    uint32_t single_mismatches;  /* integers, of every golden frame alone */
    /* The first wrong integer, where there is one: its place in the stream's order. */
    uint32_t frame, element;
    int64_t found, expected;
} qd_report;

/* Run it.
 *
 * in, out: aligned buffers of QD_IN_BYTES(QD_GOLDEN_FRAMES) and QD_OUT_BYTES(QD_GOLDEN_FRAMES).
 * Returns QD_OK, QD_ERROR_MISMATCH with the report, or what stopped it. */
qd_status qd_selftest(qd_device *device, uint8_t *in, uint8_t *out, qd_report *report);

#endif
