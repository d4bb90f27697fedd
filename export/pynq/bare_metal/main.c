/* Runs the self-test and says what came out, on the standalone BSP's standard output. */
#include <xil_printf.h>

#include "qd_dma.h"
#include "qd_selftest.h"
/* Weights in memory, put there by a debugger (`dow -data FILE ADDRESS` in XSCT) or a boot loader: define
 * their address as QD_WEIGHTS_AT and their file's bytes as QD_WEIGHTS_SIZE. */
#if QD_WEIGHTS_BYTES > 0 && defined(QD_WEIGHTS_AT)
#include "qd_weights.h"

static qd_status load(qd_device *device) {
    qd_weights weights;
    qd_status status = qd_weights_read((const void *)(uintptr_t)QD_WEIGHTS_AT, QD_WEIGHTS_SIZE, &weights);
    if (status == QD_OK) status = qd_load_weights(device, &weights);
    if (status == QD_OK) xil_printf("weights loaded, checksum %x\r\n", (unsigned)device->weights_crc);
    return status;
}
#endif

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
#if QD_WEIGHTS_BYTES > 0 && defined(QD_WEIGHTS_AT)
    if (status == QD_OK) status = load(&device);
#endif
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
