/* RS = 0 halts a channel only when its transfer is complete, which a stuck one never is, so nothing
 * here waits for that. What ends a transfer is DMACR.Reset, of either channel for the whole engine;
 * it clears itself. An error halts a channel and stays until the reset. */
#include "qd_dma.h"

#include <stddef.h>

#include "qd_port.h"

#define CONTROL 0x00u /* DMACR */
#define STATUS 0x04u  /* DMASR */
#define ADDRESS 0x18u
#define ADDRESS_HIGH 0x1Cu
#define LENGTH 0x28u

#define RS (1u << 0)
#define RESET (1u << 2)

static const uint32_t channels[] = {QD_DMA_S2MM, QD_DMA_MM2S};

/* Wait until the bits of a register are clear. */
static bool clears(uintptr_t address, uint32_t bits, uint64_t started, uint64_t microseconds) {
    while (qd_port_read(address) & bits) {
        if (qd_port_microseconds() - started > microseconds) return false;
    }
    return true;
}

bool qd_dma_reset(uintptr_t dma, uint64_t microseconds) {
    const uint64_t started = qd_port_microseconds();
    qd_port_write(dma + QD_DMA_MM2S + CONTROL, RESET);
    for (unsigned k = 0; k < 2; ++k) {
        if (!clears(dma + channels[k] + CONTROL, RESET, started, microseconds)) return false;
    }
    return true;
}

bool qd_dma_run(uintptr_t dma, uint64_t microseconds) {
    const uint64_t started = qd_port_microseconds();
    for (unsigned k = 0; k < 2; ++k) {
        qd_port_write(dma + channels[k] + CONTROL, RS);
        if (!clears(dma + channels[k] + STATUS, QD_DMASR_HALTED, started, microseconds)) return false;
    }
    return true;
}

void qd_dma_start(uintptr_t dma, uint32_t channel, uint64_t address, uint32_t size) {
    const uintptr_t base = dma + channel;
    qd_port_write(base + ADDRESS, (uint32_t)(address & 0xFFFFFFFFu));
    qd_port_write(base + ADDRESS_HIGH, (uint32_t)(address >> 32));
    qd_port_write(base + LENGTH, size);
}

uint32_t qd_dma_status(uintptr_t dma, uint32_t channel) {
    return qd_port_read(dma + channel + STATUS);
}

uint32_t qd_dma_moved(uintptr_t dma) { return qd_port_read(dma + QD_DMA_S2MM + LENGTH); }

const char *qd_dma_error_name(unsigned bit) {
    switch (bit) {
        case 4: return "DMAIntErr";
        case 5: return "DMASlvErr";
        case 6: return "DMADecErr";
        case 8: return "SGIntErr";
        case 9: return "SGSlvErr";
        case 10: return "SGDecErr";
        default: return NULL;
    }
}
