/* The port for AMD's standalone BSP (xil_io.h, xil_cache.h, xtime_l.h), on Cortex-A9 and Cortex-A53.
 * The BSP maps memory one to one, so the DMA's addresses are the processor's. */
#include "qd_port.h"

#include <xil_cache.h>
#include <xil_io.h>
#include <xtime_l.h>

uint32_t qd_port_read(uintptr_t address) { return Xil_In32(address); }

void qd_port_write(uintptr_t address, uint32_t value) { Xil_Out32(address, value); }

void qd_port_flush(const void *start, size_t size) {
    Xil_DCacheFlushRange((INTPTR)start, (u32)size);
}

void qd_port_invalidate(void *start, size_t size) {
    Xil_DCacheInvalidateRange((INTPTR)start, (u32)size);
}

uint64_t qd_port_bus_address(const void *start) { return (uint64_t)(uintptr_t)start; }

uint64_t qd_port_microseconds(void) {
    XTime now;
    XTime_GetTime(&now);
    /* In two parts: the counter times a million would overflow within hours. */
    const uint64_t rate = COUNTS_PER_SECOND;
    return now / rate * 1000000u + now % rate * 1000000u / rate;
}
