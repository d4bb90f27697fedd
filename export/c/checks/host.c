/* A network with its taps, for the machine it is compiled on.
 *
 *   program FRAMES TAPS     frames from one file, what each step has written to the other
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "taps.h"

static FILE *taps;

static void tap(int number, const uint8_t *data, uint32_t bytes) {
    if (tap_bytes[number] != 0 && fwrite(data, 1, bytes, taps) != bytes) {
        exit(3);
    }
}

#define QD_TAP(number, data) tap((number), (data), tap_bytes[number])
#define QD_TAP_PART(number, data, bytes) tap((number), (data), (uint32_t)(bytes))
#include "network.c"

int main(int count, char **arguments) {
    /* Of exactly their sizes, so that a sanitizer sees every access beyond them. */
    TAP_INPUT_TYPE *input = malloc(TAP_INPUT_BYTES);
    int32_t *logits = malloc(TAP_OUTPUT_BYTES);
    uint8_t *arena = malloc(TAP_ARENA_BYTES);
    FILE *frames = count == 3 ? fopen(arguments[1], "rb") : NULL;
    taps = count == 3 ? fopen(arguments[2], "wb") : NULL;
    if (input == NULL || logits == NULL || arena == NULL || frames == NULL || taps == NULL) {
        return 2;
    }
    while (fread(input, 1, TAP_INPUT_BYTES, frames) == TAP_INPUT_BYTES) {
        if (TAP_RUN(input, logits, arena) != 0) {
            return 4;
        }
    }
    free(input);
    free(logits);
    free(arena);
    fclose(frames);
    return fclose(taps) == 0 ? 0 : 3;
}
