/* A network with its taps on a bare core under QEMU, talking through semihosting.
 *
 * Reads frames.bin frame by frame, writes what each step has written to taps.bin, then runs the
 * last frame once more without taps on a painted stack and writes figures.bin: instructions of that
 * run in units of the counter, bytes of stack that it took, and of one more run by how much the
 * counter went on until each tap came, from the one before it, all together.
 */
#include <stddef.h>
#include <stdint.h>

#include "taps.h"

#define TAPS (sizeof tap_bytes / sizeof tap_bytes[0])
enum { SILENT = 0, WRITING = 1, COUNTING = 2 };
static int tapping = WRITING;
static int32_t taps_file;
static uint32_t marks[TAPS], last_mark;

#include "start.h"
#include "counter.h"

/* ---- the host's files --------------------------------------------------------------------- */

static int32_t open_file(const char *name, int32_t length, uint32_t mode) {
    const uintptr_t block[3] = {(uintptr_t)name, mode, (uintptr_t)length};
    return host(1, block);
}

/* Whether all was moved. */
static int move(int32_t operation, int32_t file, const void *data, uint32_t count) {
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, count};
    return host(operation, block) == 0;
}

static void tap(int number, const uint8_t *data, uint32_t bytes) {
    if (tapping == COUNTING) {
        const uint32_t now = counter();
        marks[number] += (now - last_mark) & COUNTED;
        last_mark = now;
    } else if (tapping == WRITING && tap_bytes[number] != 0 &&
               move(5, taps_file, data, bytes) == 0) {
        end(0);
    }
}

/* ---- the network -------------------------------------------------------------------------- */

#define QD_TAP(number, data) tap((number), (data), tap_bytes[number])
#define QD_TAP_PART(number, data, bytes) tap((number), (data), (uint32_t)(bytes))
#include "network.c"

static uint32_t input[(TAP_INPUT_BYTES + 3) / 4], arena[(TAP_ARENA_BYTES + 3) / 4];
static int32_t logits[(TAP_OUTPUT_BYTES + 3) / 4];

static int __attribute__((noinline)) run(void) { return TAP_RUN((const void *)input, logits, (uint8_t *)arena); }

#define PAINT 0xA5C3F00Du

static void bare_main(void) {
    uint32_t figures[2];
    const int32_t frames = open_file("frames.bin", 10, 1u);
    taps_file = open_file("taps.bin", 8, 5u);
    if (frames < 0 || taps_file < 0) {
        end(0);
    }
    while (move(6, frames, input, TAP_INPUT_BYTES) != 0) {
        if (run() != 0) {
            end(0);
        }
    }
    tapping = SILENT;
    {
        /* What lies below the stack pointer is free, and nothing interrupts. */
        uint32_t *here, *p;
        uint32_t before;
#if defined(__arm__)
        __asm__ volatile("mov %0, sp" : "=r"(here));
#else
        __asm__ volatile("mv %0, sp" : "=r"(here));
#endif
        for (p = stack_low; p < here; p++) {
            *p = PAINT;
        }
        start_counter();
        before = counter();
        if (run() != 0) {
            end(0);
        }
        figures[0] = (counter() - before) & COUNTED;
        for (p = stack_low; p < here && *p == PAINT; p++) {
        }
        figures[1] = (uint32_t)((uintptr_t)here - (uintptr_t)p);
        tapping = COUNTING;
        start_counter();
        last_mark = counter();
        if (run() != 0) {
            end(0);
        }
    }
    {
        const int32_t file = open_file("figures.bin", 11, 5u);
        end(file >= 0 && move(5, file, figures, sizeof figures) != 0 &&
            move(5, file, marks, sizeof marks) != 0);
    }
}
