/* The AXI DMA's registers in Direct Register Mode (PG021, "Register Space"). */
#ifndef QD_DMA_H
#define QD_DMA_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets of the two channels, memory to stream and stream to memory. */
#define QD_DMA_MM2S 0x00u
#define QD_DMA_S2MM 0x30u

/* Bits of DMASR. */
#define QD_DMASR_HALTED (1u << 0)
#define QD_DMASR_IDLE (1u << 1)
#define QD_DMASR_SGINCLD (1u << 3)
#define QD_DMASR_ERRORS 0x770u /* DMAIntErr, DMASlvErr, DMADecErr; SGIntErr, SGSlvErr, SGDecErr */

/* End whatever is under way and clear all errors; both channels stay halted. False when the reset
 * does not end within the time. */
bool qd_dma_reset(uintptr_t dma, uint64_t microseconds);

/* Set RS of both channels; false when one stays halted. */
bool qd_dma_run(uintptr_t dma, uint64_t microseconds);

/* Start a transfer of a channel that runs; `size` > 0 and within the length register. */
void qd_dma_start(uintptr_t dma, uint32_t channel, uint64_t address, uint32_t size);

/* DMASR of a channel. */
uint32_t qd_dma_status(uintptr_t dma, uint32_t channel);

/* Bytes that a complete transfer of S2MM wrote to memory. */
uint32_t qd_dma_moved(uintptr_t dma);

/* PG021's name of a bit of DMASR that is an error; NULL for any other bit. */
const char *qd_dma_error_name(unsigned bit);

#endif
