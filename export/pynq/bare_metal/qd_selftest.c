#include "qd_selftest.h"

#include <stddef.h>

/* Packed golden frames into `in`; bytes in which this driver packs otherwise than the package. */
static uint32_t filled(uint8_t *in, uint32_t first, uint32_t frames) {
    const uint8_t *packed = qd_golden_packed + (size_t)first * QD_IN_FRAME_BYTES;
    const size_t size = (size_t)frames * QD_IN_FRAME_BYTES;
    uint32_t wrong = 0;
#if QD_PACKS
    qd_input input = qd_design_input;
    input.frames = frames;
    qd_pack(&input, qd_golden_raw + (size_t)first * QD_IN_ELEMENTS, in);
    for (size_t k = 0; k < size; ++k) wrong += in[k] != packed[k];
#endif
    for (size_t k = 0; k < size; ++k) in[k] = packed[k];
    return wrong;
}

/* A result of the golden frames: of the design's own weights, or of those that were loaded. */
static int64_t golden(const qd_device *device, size_t at) {
    if (device->golden == NULL) return qd_golden_outputs[at];
    const uint8_t *bytes = device->golden + 4 * at;
    const int64_t value = (int64_t)bytes[0] | (int64_t)bytes[1] << 8 | (int64_t)bytes[2] << 16 |
                          (int64_t)bytes[3] << 24;
    return QD_OUT_SIGNED && bytes[3] & 0x80u ? value - ((int64_t)1 << 32) : value;
}

/* Integers in `out` that differ from the golden ones; notes the first. */
static uint32_t compared(const qd_device *device, const uint8_t *out, uint32_t first, uint32_t frames,
                         qd_report *report, bool note) {
    size_t at = (size_t)first * QD_OUT_ELEMENTS;
    uint32_t wrong = 0;
    for (uint32_t f = 0; f < frames; ++f) {
        for (uint32_t e = 0; e < QD_OUT_ELEMENTS; e += QD_OUT_PER_BEAT) {
            int64_t found[QD_OUT_PER_BEAT];
            qd_unpack(out, 1, QD_OUT_PER_BEAT, QD_OUT_BEAT_BYTES, QD_OUT_BITS, QD_OUT_SIGNED, found);
            out += QD_OUT_BEAT_BYTES;
            for (uint32_t k = 0; k < QD_OUT_PER_BEAT; ++k, ++at) {
                const int64_t expected = golden(device, at);
                if (found[k] == expected) continue;
                if (note && wrong == 0) {
                    report->frame = first + f;
                    report->element = e + k;
                    report->found = found[k];
                    report->expected = expected;
                }
                ++wrong;
            }
        }
    }
    return wrong;
}

qd_status qd_selftest(qd_device *device, uint8_t *in, uint8_t *out, qd_report *report) {
    static const qd_report empty = {0};
    *report = empty;
    report->packing_mismatches = filled(in, 0, QD_GOLDEN_FRAMES);
    qd_status status = qd_run(device, in, out, QD_GOLDEN_FRAMES);
    if (status != QD_OK) return status;
    report->batch_mismatches = compared(device, out, 0, QD_GOLDEN_FRAMES, report, true);
    for (uint32_t frame = 0; frame < QD_GOLDEN_FRAMES; ++frame) {
        (void)filled(in, frame, 1);
        status = qd_run(device, in, out, 1);
        if (status != QD_OK) return status;
        const bool note = report->batch_mismatches + report->single_mismatches == 0;
        report->single_mismatches += compared(device, out, frame, 1, report, note);
    }
    const uint32_t wrong =
        report->packing_mismatches + report->batch_mismatches + report->single_mismatches;
    return wrong ? QD_ERROR_MISMATCH : QD_OK;
}
