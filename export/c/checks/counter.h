/* The counter of instructions of a bare core under QEMU with -icount shift=0. */
#ifndef QD_COUNTER_H
#define QD_COUNTER_H

#include <stdint.h>

#if defined(__arm__)
#define COUNTED 0xFFFFFFu
/* SysTick on the processor's clock counts down 24 bits; QEMU's clock follows the instructions. */
static void start_counter(void) {
    *(volatile uint32_t *)0xE000E014u = 0xFFFFFFu;
    *(volatile uint32_t *)0xE000E018u = 0u;
    *(volatile uint32_t *)0xE000E010u = 5u;
}

static uint32_t counter(void) { return 0xFFFFFFu - *(volatile uint32_t *)0xE000E018u; }
#else
#define COUNTED 0xFFFFFFFFu
static void start_counter(void) {}

static uint32_t counter(void) {
    uint32_t value;
    __asm__ volatile("csrr %0, minstret" : "=r"(value));
    return value;
}
#endif

#endif
