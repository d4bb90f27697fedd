/* Runs the self-test and says what came out, on the standalone BSP's standard output. */
#include <xil_printf.h>

#include "qd_dma.h"
#include "qd_selftest.h"

static uint8_t in[QD_IN_BYTES(QD_GOLDEN_FRAMES)] QD_ALIGNED;
static uint8_t out[QD_OUT_BYTES(QD_GOLDEN_FRAMES)] QD_ALIGNED;

static void print_errors(const char *channel, uint32_t status) {
    for (unsigned bit = 0; bit < 32; ++bit) {
        const char *name = qd_dma_error_name(bit);
        if (name != NULL && (status >> bit & 1u)) xil_printf("  %s: %s\r\n", channel, name);
    }
}

int main(void) {
    qd_device device;
    qd_report report;
    qd_status status = qd_open(&device, QD_DMA_BASE, QD_SHELL_BASE);
    if (status == QD_OK) status = qd_selftest(&device, in, out, &report);
    if (status == QD_OK) {
        xil_printf("self-test passed: %u golden frames\r\n", (unsigned)QD_GOLDEN_FRAMES);
        return 0;
    }
    xil_printf("self-test FAILED: %s\r\n", qd_status_text(status));
    if (status == QD_ERROR_MISMATCH) {
        xil_printf("  wrong: %u bytes packed, %u integers in one batch, %u frame by frame\r\n",
                   (unsigned)report.packing_mismatches, (unsigned)report.batch_mismatches,
                   (unsigned)report.single_mismatches);
        xil_printf("  first: frame %u, element %u: %d instead of %d\r\n", (unsigned)report.frame,
                   (unsigned)report.element, (int)report.found, (int)report.expected);
    } else {
        print_errors("MM2S", device.last.mm2s_status);
        print_errors("S2MM", device.last.s2mm_status);
        xil_printf("  %u frames came out; shell status %u\r\n", (unsigned)device.last.frames_done,
                   (unsigned)device.last.shell_status);
    }
    return 1;
}
