#include "qd_accelerator.h"

#include <stddef.h>

#include "qd_dma.h"
#include "qd_port.h"

/* Registers of the shell, see rtl/qd_shell_regs.v. */
#define ID 0x00u
#define VERSION 0x04u
#define DESIGN 0x08u
#define FRAMES 0x0Cu
#define CONTROL 0x10u
#define CYCLES 0x14u
#define DONE 0x18u
#define STATUS 0x1Cu
#define CONFIG_CRC 0x28u
#define CONFIG_STATE 0x2Cu

#define SHELL_ID 0x51444550u
#define SHELL_VERSION 1u
#define CORE_IN_RESET (1u << 0)
#define BEAT_AFTER_END (1u << 2)
/* Of CONFIG_STATE: the last image was complete; one was written since the bitstream was loaded. */
#define COMPLETE (1u << 0)
#define WRITTEN (1u << 2)

/* Microseconds for a reset, of tens of clock cycles; for a batch; and a second in them. */
#define RESET_TIME 1000000u
#define USUAL_TIMEOUT 10000000u
#define SECOND 1000000u

static uint32_t shell(const qd_device *device, uint32_t offset) {
    return qd_port_read(device->shell + offset);
}

static bool core_resets(const qd_device *device) {
    const uint64_t started = qd_port_microseconds();
    qd_port_write(device->shell + CONTROL, 1u);
    while (shell(device, STATUS) & CORE_IN_RESET) {
        if (qd_port_microseconds() - started > RESET_TIME) return false;
    }
    return true;
}

qd_status qd_recover(qd_device *device) {
    /* The first reset ends what sends to the core, the second empties the core, and the third drops
     * the beats that the receiver had taken from it meanwhile. */
    device->clean = false;
    device->frames = 0;
    if (!qd_dma_reset(device->dma, RESET_TIME)) return QD_ERROR_DMA_RESET;
    if (!core_resets(device)) return QD_ERROR_CORE_RESET;
    if (!qd_dma_reset(device->dma, RESET_TIME)) return QD_ERROR_DMA_RESET;
    if (!qd_dma_run(device->dma, RESET_TIME)) return QD_ERROR_DMA_START;
    device->clean = true;
    return QD_OK;
}

qd_status qd_open(qd_device *device, uintptr_t dma, uintptr_t base) {
    static const qd_device closed = {0};
    *device = closed;
    device->dma = dma;
    device->shell = base;
    device->timeout = USUAL_TIMEOUT;
    if (shell(device, ID) != SHELL_ID) return QD_ERROR_NO_SHELL;
    if (shell(device, VERSION) != SHELL_VERSION) return QD_ERROR_SHELL_VERSION;
    if (shell(device, DESIGN) != QD_DESIGN_ID) return QD_ERROR_OTHER_DESIGN;
    if (qd_dma_status(dma, QD_DMA_MM2S) & QD_DMASR_SGINCLD) return QD_ERROR_DESCRIPTORS;
    const qd_status status = qd_recover(device);
    device->weights_known = true;
#if QD_WEIGHTS_BYTES > 0
    /* What another program wrote, or left off writing, is still in the memories. */
    const uint32_t state = shell(device, CONFIG_STATE);
    device->weights_crc = state & WRITTEN ? shell(device, CONFIG_CRC) : QD_WEIGHTS_CRC;
    device->weights_known =
        !(state & WRITTEN) || (state & COMPLETE && device->weights_crc == QD_WEIGHTS_CRC);
#endif
    return status;
}

/* What is wrong about a buffer of the DMA, if anything. */
static qd_status checked(const void *buffer, uint32_t bytes) {
    if (buffer == NULL) return QD_ERROR_ARGUMENT;
    const uint64_t address = qd_port_bus_address(buffer);
    if (address % QD_ALIGNMENT) return QD_ERROR_ALIGNMENT;
    if (address + bytes > (uint64_t)1 << 32) return QD_ERROR_ADDRESS;
    return QD_OK;
}

qd_status qd_begin(qd_device *device, const uint8_t *in, uint8_t *out, uint32_t frames) {
    if (frames == 0 || frames > QD_MOST_FRAMES || device->frames != 0) return QD_ERROR_ARGUMENT;
    const uint32_t sent = frames * QD_IN_FRAME_BYTES, expected = frames * QD_OUT_FRAME_BYTES;
    qd_status status = checked(in, sent);
    if (status == QD_OK) status = checked(out, expected);
    if (status == QD_OK && !device->weights_known) status = QD_ERROR_WEIGHTS_UNKNOWN;
    if (status == QD_OK && !device->clean) status = qd_recover(device);
    if (status != QD_OK) return status;
    /* Lines of `out` that are in the cache must not be written over results later. */
    qd_port_flush(in, QD_IN_BYTES(frames));
    qd_port_flush(out, QD_OUT_BYTES(frames));
    const uint64_t usual = (uint64_t)frames * QD_CYCLES_PER_FRAME * SECOND / QD_CLOCK_HZ;
    device->clean = false;
    device->frames = frames;
    device->out = out;
    device->allowed = 2 * usual > device->timeout ? 2 * usual : device->timeout;
    device->started = qd_port_microseconds();
    qd_port_write(device->shell + FRAMES, frames);
    /* The receiver first: the core has nowhere else to put its results. */
    qd_dma_start(device->dma, QD_DMA_S2MM, qd_port_bus_address(out), expected);
    qd_dma_start(device->dma, QD_DMA_MM2S, qd_port_bus_address(in), sent);
    return QD_OK;
}

/* An error: note what the hardware says, then reset it. */
static qd_status failed(qd_device *device, qd_status status) {
    device->last.shell_status = shell(device, STATUS);
    device->last.frames_done = shell(device, DONE);
    device->last.recovered = qd_recover(device) == QD_OK;
    return status;
}

qd_status qd_poll(qd_device *device) {
    if (device->frames == 0) return QD_ERROR_ARGUMENT;
    qd_details *last = &device->last;
    /* The clock first: what ends between the two looks is no time-out. */
    const bool late = qd_port_microseconds() - device->started > device->allowed;
    last->mm2s_status = qd_dma_status(device->dma, QD_DMA_MM2S);
    last->s2mm_status = qd_dma_status(device->dma, QD_DMA_S2MM);
    last->bytes = last->cycles = 0;
    if (last->mm2s_status & (QD_DMASR_ERRORS | QD_DMASR_HALTED)) return failed(device, QD_ERROR_SEND);
    if (last->s2mm_status & (QD_DMASR_ERRORS | QD_DMASR_HALTED)) {
        return failed(device, QD_ERROR_RECEIVE);
    }
    const bool sent = (last->mm2s_status & QD_DMASR_IDLE) != 0;
    const bool received = (last->s2mm_status & QD_DMASR_IDLE) != 0;
    if (!(sent && received)) {
        if (!late) return QD_BUSY;
        return failed(device, sent ? QD_ERROR_RECEIVE_TIMEOUT : QD_ERROR_SEND_TIMEOUT);
    }
    last->bytes = qd_dma_moved(device->dma);
    last->shell_status = shell(device, STATUS);
    if (last->bytes != device->frames * QD_OUT_FRAME_BYTES || last->shell_status & BEAT_AFTER_END) {
        return failed(device, QD_ERROR_LENGTH);
    }
    last->frames_done = shell(device, DONE);
    last->cycles = shell(device, CYCLES);
    last->recovered = false;
    /* What the processor fetched ahead of the results. */
    qd_port_invalidate(device->out, QD_OUT_BYTES(device->frames));
    device->frames = 0;
    device->clean = true;
    return QD_OK;
}

qd_status qd_run(qd_device *device, const uint8_t *in, uint8_t *out, uint32_t frames) {
    qd_status status = qd_begin(device, in, out, frames);
    if (status != QD_OK) return status;
    do {
        status = qd_poll(device);
    } while (status == QD_BUSY);
    return status;
}

const char *qd_status_text(qd_status status) {
    switch (status) {
        case QD_OK: return "done";
        case QD_BUSY: return "the batch is under way";
        case QD_ERROR_ARGUMENT:
            return "no frames, too many, no buffer, or a second batch before the first ended";
        case QD_ERROR_ALIGNMENT: return "a buffer is not at a multiple of QD_ALIGNMENT bytes";
        case QD_ERROR_ADDRESS: return "a buffer is beyond the DMA's 32 address bits";
        case QD_ERROR_NO_SHELL: return "there is no qdeploy shell at this address";
        case QD_ERROR_SHELL_VERSION: return "the shell's registers are of another version";
        case QD_ERROR_OTHER_DESIGN:
            return "the bitstream is of another network, or of other weights";
        case QD_ERROR_DESCRIPTORS: return "the DMA was built with scatter-gather";
        case QD_ERROR_DMA_RESET: return "the DMA's reset does not end";
        case QD_ERROR_DMA_START: return "a channel of the DMA stays halted";
        case QD_ERROR_CORE_RESET: return "the core stays in reset; is its clock running?";
        case QD_ERROR_SEND: return "the DMA's channel MM2S has stopped";
        case QD_ERROR_RECEIVE: return "the DMA's channel S2MM has stopped";
        case QD_ERROR_SEND_TIMEOUT: return "the core did not take all of its input";
        case QD_ERROR_RECEIVE_TIMEOUT: return "the core gave too few results";
        case QD_ERROR_LENGTH: return "the results have another length than the batch's";
        case QD_ERROR_MISMATCH: return "an integer of the self-test is wrong";
        case QD_ERROR_WEIGHTS_UNKNOWN:
            return "the weights in the FPGA are not known; load weights, or the bitstream";
        case QD_ERROR_WEIGHTS_FILE: return "this is no whole file of weights";
        case QD_ERROR_WEIGHTS_DESIGN: return "the file of weights was made from another build";
        case QD_ERROR_WEIGHTS_REFUSED: return "the core did not take the weights";
        case QD_ERROR_WEIGHTS_CRC: return "the weights in the FPGA have another checksum";
    }
    return "no status of this driver";
}
