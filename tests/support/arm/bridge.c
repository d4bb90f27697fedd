/* AMD's BSP, as far as the driver uses it, over the serial line of a core in QEMU: what is at the other
 * end (arm_core.py) has the registers, the DMA and its copy of the memory. QEMU knows no caches; the two
 * copies, which only the cache's operations bring together, stand for one.
 *
 *   R address            -> value        W address value
 *   F address size bytes -> bytes        lines are written back where they changed, and forgotten
 *   I address size       -> bytes        lines are forgotten
 *   P character                          E status: main has returned */
#include <stdarg.h>
#include <stddef.h>

#include "xil_cache.h"
#include "xil_io.h"
#include "xil_printf.h"
#include "xtime_l.h"

/* A PL011: data, and a status with bit 5 when it can take nothing and bit 4 when it has nothing. */
#define DATA (*(volatile u32 *)(UART))
#define FLAGS (*(volatile u32 *)(UART + 0x18))
#define LINE 64u

void leave(int status);
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

static void put(u32 byte) {
    while (FLAGS & 0x20u) {
    }
    DATA = byte & 0xFFu;
}

static u32 get(void) {
    while (FLAGS & 0x10u) {
    }
    return DATA & 0xFFu;
}

static void put_word(UINTPTR value) {
    for (unsigned k = 0; k < 32; k += 8) put((u32)(value >> k));
}

u32 Xil_In32(UINTPTR Addr) {
    u32 value = 0;
    put('R');
    put_word(Addr);
    for (unsigned k = 0; k < 32; k += 8) value |= get() << k;
    return value;
}

void Xil_Out32(UINTPTR Addr, u32 Value) {
    put('W');
    put_word(Addr);
    put_word(Value);
}

static void lines(u32 operation, UINTPTR start, UINTPTR size) {
    const UINTPTR first = start / LINE * LINE, end = (start + size + LINE - 1) / LINE * LINE;
    volatile uint8_t *bytes = (volatile uint8_t *)first;
    put(operation);
    put_word(first);
    put_word(end - first);
    if (operation == 'F') {
        for (UINTPTR k = 0; k < end - first; ++k) put(bytes[k]);
    }
    for (UINTPTR k = 0; k < end - first; ++k) bytes[k] = (uint8_t)get();
}

#ifdef __aarch64__
void Xil_DCacheInvalidateRange(INTPTR adr, INTPTR len) { lines('F', (UINTPTR)adr, (UINTPTR)len); }
#else
void Xil_DCacheFlushRange(INTPTR adr, u32 len) { lines('F', (UINTPTR)adr, len); }
void Xil_DCacheInvalidateRange(INTPTR adr, u32 len) { lines('I', (UINTPTR)adr, len); }
#endif

/* A millisecond passes with every look at the clock. */
void XTime_GetTime(XTime *Xtime_Global) {
    static XTime now;
    now += COUNTS_PER_SECOND / 1000u;
    *Xtime_Global = now;
}

static void print(char character) {
    put('P');
    put((u32)character);
}

static void print_number(u32 value, u32 base) {
    if (value >= base) print_number(value / base, base);
    print("0123456789abcdef"[value % base]);
}

void xil_printf(const char *ctrl1, ...) {
    va_list given;
    va_start(given, ctrl1);
    for (; *ctrl1; ++ctrl1) {
        if (*ctrl1 != '%') {
            print(*ctrl1);
            continue;
        }
        switch (*++ctrl1) {
            case 's':
                for (const char *text = va_arg(given, const char *); *text; ++text) print(*text);
                break;
            case 'd': {
                const int value = va_arg(given, int);
                if (value < 0) print('-');
                print_number(value < 0 ? 0u - (u32)value : (u32)value, 10);
                break;
            }
            case 'u': print_number(va_arg(given, u32), 10); break;
            case 'x': print_number(va_arg(given, u32), 16); break;
            default: leave(99);
        }
    }
    va_end(given);
}

void leave(int status) {
    put('E');
    put((u32)status);
    for (;;) {
    }
}

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t k = 0; k < size; ++k) ((uint8_t *)to)[k] = ((const uint8_t *)from)[k];
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t k = 0; k < size; ++k) ((uint8_t *)to)[k] = (uint8_t)value;
    return to;
}

#ifndef __aarch64__
/* What the compiler's division asks for when it divides by zero. */
int raise(int signal);
int raise(int signal) {
    leave(signal);
    return 0;
}
#endif
