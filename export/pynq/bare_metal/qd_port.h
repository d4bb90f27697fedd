/* What the driver needs of the system around it. qd_port_vitis.c has it for AMD's standalone BSP;
 * another system gives these six functions itself. */
#ifndef QD_PORT_H
#define QD_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Registers, 32 bits at a time, in the order of the calls. */
uint32_t qd_port_read(uintptr_t address);
void qd_port_write(uintptr_t address, uint32_t value);

/* Write what the data cache holds of a range back to memory, and forget it. */
void qd_port_flush(const void *start, size_t size);

/* Forget what the data cache holds of a range: the next read comes from memory. */
void qd_port_invalidate(void *start, size_t size);

/* The address that the DMA has to use for memory of the processor. */
uint64_t qd_port_bus_address(const void *start);

/* A clock that never stops or goes back. */
uint64_t qd_port_microseconds(void);

#endif
