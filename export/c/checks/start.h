/* Start-up and semihosting of a bare core under QEMU: Cortex-M, or RISC-V of 32 bits.
 *
 * A program includes this once and has `static void bare_main(void)`, which calls `end`.
 */
#ifndef QD_START_H
#define QD_START_H

#include <stdint.h>

/* Of the linker script. */
extern uint32_t stack_low[], stack_high[];

static void bare_main(void);

#if defined(__arm__)
static int32_t host(int32_t operation, const void *argument) {
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
#else
int32_t host(int32_t operation, const void *argument);
__asm__(
    ".option push\n.option norvc\n.balign 16\n.globl host\nhost:\n"
    "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\nret\n.option pop\n");
#endif

static void end(int good) {
    host(0x18, (const void *)(uintptr_t)(good ? 0x20026u : 0x20023u));
    for (;;) {
    }
}

#if defined(__arm__)
void start(void) __attribute__((noreturn));
void start(void) {
    bare_main();
    for (;;) {
    }
}
static void fault(void) { end(0); }
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_high, (const void *)start, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault};
#else
void start(void);
void start(void) { bare_main(); }
__asm__(
    ".section .vectors, \"ax\"\n.globl entry\nentry:\nla sp, stack_high\ncall start\n1: j 1b\n"
    ".text\n");
#endif

#endif
