/* The port of the driver in C for tests: its registers and its memory are those of board_model.cpp.
 *
 * Memory is two copies, the processor's and the DMA's, which only qd_port_flush and
 * qd_port_invalidate bring together, whole cache lines at a time: what the driver forgets to flush or
 * to invalidate is old. Time passes with every look at the clock, the model's with every access to
 * the DMA. */
#include <string.h>

#include "qd_design.h"
#include "qd_port.h"

#define ARENA (1u << 20)
#define LINE 64u
#define RANGE 0x1000u

int board_run(void *, int);
uint32_t board_dma_read(void *, uint32_t);
void board_dma_write(void *, uint32_t, uint32_t);
int board_read(void *, uint32_t, uint32_t *);
int board_write(void *, uint32_t, uint32_t, int);
void board_map(void *, uint32_t, uint8_t *, uint32_t);

static uint8_t processor[ARENA] __attribute__((aligned(4096)));
static uint8_t dma[ARENA];
static void *board;
static int pace;
static uint64_t base, tick, now;

/* What a test sets: the model, cycles per access, microseconds per look at the clock, and the DMA's
 * address of the memory, whose start is returned. */
void *test_attach(void *handle, int cycles, uint64_t microseconds, uint64_t address) {
    board = handle, pace = cycles, tick = microseconds, base = address;
    memset(processor, 0xA5, ARENA);
    memset(dma, 0x5A, ARENA);
    board_map(handle, (uint32_t)address, dma, ARENA);
    return processor;
}

static void move(uint8_t *to, const uint8_t *from, const void *start, size_t size) {
    const size_t first = (size_t)((const uint8_t *)start - processor) / LINE * LINE;
    const size_t end = ((size_t)((const uint8_t *)start - processor) + size + LINE - 1) / LINE * LINE;
    memcpy(to + first, from + first, end - first);
}

void qd_port_flush(const void *start, size_t size) { move(dma, processor, start, size); }

void qd_port_invalidate(void *start, size_t size) { move(processor, dma, start, size); }

uint64_t qd_port_bus_address(const void *start) {
    return base + (uint64_t)((const uint8_t *)start - processor);
}

uint64_t qd_port_microseconds(void) { return now += tick; }

uint32_t qd_port_read(uintptr_t address) {
    uint32_t value = 0;
    if (address - QD_SHELL_BASE < RANGE) {
        board_read(board, (uint32_t)(address - QD_SHELL_BASE), &value);
    } else if (address - QD_DMA_BASE < RANGE) {
        board_run(board, pace);
        value = board_dma_read(board, (uint32_t)(address - QD_DMA_BASE));
    }
    return value;
}

void qd_port_write(uintptr_t address, uint32_t value) {
    if (address - QD_SHELL_BASE < RANGE) {
        board_write(board, (uint32_t)(address - QD_SHELL_BASE), value, 0);
    } else if (address - QD_DMA_BASE < RANGE) {
        board_run(board, pace);
        board_dma_write(board, (uint32_t)(address - QD_DMA_BASE), value);
    }
}
