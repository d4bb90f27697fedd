/* Products of codes and weights of 2 bits per nanosecond: the innermost loops that a host may have.
 *
 * Each multiplies 576 codes (a window of 3 x 3 x 64) of eight windows by the weights of 64 filters, all of
 * it in the first cache, and adds up in 32 bits. Sums are compared with those of plain C. Compiled with
 * -O3 -march=native. Prints a line for each: its name, products per nanosecond.
 */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CODES = 576, FILTERS = 64, WINDOWS = 8, WORDS = CODES / 64, ROUNDS = 400, TRIES = 25 };

static uint8_t codes[WINDOWS][CODES];
static int8_t weights[FILTERS][CODES];
static int32_t expected[WINDOWS][FILTERS], found[WINDOWS][FILTERS];
/* Four weights of each of 16 filters, as vectors of bytes multiply them. */
static int8_t fours[FILTERS / 16][CODES / 4][16][4] __attribute__((aligned(64)));
/* Bit planes of codes, and of weights + 2 of 8 filters beside one another. */
static uint64_t planes[WINDOWS][2][WORDS];
static uint64_t filters[FILTERS / 8][WORDS][2][8] __attribute__((aligned(64)));
static int32_t doubled[WINDOWS]; /* twice the sum of the codes, which + 2 brings */
/* Of each plane the bits of four weights of 32 filters, and sums of the codes that they choose. */
static uint8_t chosen[FILTERS / 32][CODES / 4][2][32] __attribute__((aligned(64)));
static uint8_t tables[WINDOWS][CODES / 4][16] __attribute__((aligned(64)));

static void prepare(void) {
    uint32_t seed = 1;
    for (int w = 0; w < WINDOWS; w++) {
        for (int i = 0; i < CODES; i++) {
            seed = seed * 1664525u + 1013904223u;
            codes[w][i] = (uint8_t)(seed >> 24 & 3u);
            doubled[w] += 2 * codes[w][i];
            for (int b = 0; b < 2; b++) {
                planes[w][b][i / 64] |= (uint64_t)(codes[w][i] >> b & 1) << i % 64;
            }
        }
        for (int i = 0; i < CODES / 4; i++) {
            for (int k = 0; k < 16; k++) {
                for (int b = 0; b < 4; b++) {
                    tables[w][i][k] += k >> b & 1 ? codes[w][4 * i + b] : 0;
                }
            }
        }
    }
    for (int f = 0; f < FILTERS; f++) {
        for (int i = 0; i < CODES; i++) {
            seed = seed * 1664525u + 1013904223u;
            weights[f][i] = (int8_t)((int)(seed >> 24 & 3u) - 2);
            fours[f / 16][i / 4][f % 16][i % 4] = weights[f][i];
            for (int b = 0; b < 2; b++) {
                const int bit = (weights[f][i] + 2) >> b & 1;
                filters[f / 8][i / 64][b][f % 8] |= (uint64_t)bit << i % 64;
                chosen[f / 32][i / 4][b][f % 32] |= (uint8_t)(bit << i % 4);
            }
        }
    }
    for (int w = 0; w < WINDOWS; w++) {
        for (int f = 0; f < FILTERS; f++) {
            for (int i = 0; i < CODES; i++) {
                expected[w][f] += codes[w][i] * weights[f][i];
            }
        }
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void bytes_avx2(void) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int f = 0; f < FILTERS; f += 8) {
        for (int w = 0; w < WINDOWS; w += 4) {
            __m256i acc[4];
            for (int j = 0; j < 4; j++) {
                acc[j] = _mm256_setzero_si256();
            }
            for (int i = 0; i < CODES / 4; i++) {
                const __m256i v = _mm256_loadu_si256((const void *)fours[f / 16][i][f % 16]);
                for (int j = 0; j < 4; j++) {
                    int32_t four;
                    memcpy(&four, codes[w + j] + 4 * i, 4);
                    acc[j] = _mm256_add_epi16(acc[j], _mm256_maddubs_epi16(_mm256_set1_epi32(four), v));
                }
            }
            for (int j = 0; j < 4; j++) {
                _mm256_storeu_si256((void *)&found[w + j][f], _mm256_madd_epi16(acc[j], ones));
            }
        }
    }
}

#if defined(__AVX512VNNI__)
/* Keeps each sum in its register: compilers copy all of them in every turn. */
#define KEEP(v) __asm__("" : "+v"(v))

static void bytes_vnni(void) {
    for (int f = 0; f < FILTERS; f += 16) {
        __m512i acc[WINDOWS];
        for (int j = 0; j < WINDOWS; j++) {
            acc[j] = _mm512_setzero_si512();
        }
        for (int i = 0; i < CODES / 4; i++) {
            const __m512i v = _mm512_load_si512(fours[f / 16][i]);
            for (int j = 0; j < WINDOWS; j++) {
                int32_t four;
                memcpy(&four, codes[j] + 4 * i, 4);
                acc[j] = _mm512_dpbusd_epi32(acc[j], _mm512_set1_epi32(four), v);
            }
        }
        for (int j = 0; j < WINDOWS; j++) {
            _mm512_storeu_si512(&found[j][f], acc[j]);
        }
    }
}

/* Two vectors of filters together. */
static void bytes_vnni_two(void) {
    for (int f = 0; f < FILTERS; f += 32) {
        for (int w = 0; w < WINDOWS; w += 8) {
            __m512i acc[8], bcc[8];
            for (int j = 0; j < 8; j++) {
                acc[j] = bcc[j] = _mm512_setzero_si512();
            }
            for (int i = 0; i < CODES / 4; i++) {
                const __m512i v = _mm512_load_si512(fours[f / 16][i]);
                const __m512i u = _mm512_load_si512(fours[f / 16 + 1][i]);
                for (int j = 0; j < 8; j++) {
                    int32_t four;
                    memcpy(&four, codes[w + j] + 4 * i, 4);
                    const __m512i c = _mm512_set1_epi32(four);
                    acc[j] = _mm512_dpbusd_epi32(acc[j], c, v);
                    KEEP(acc[j]);
                    bcc[j] = _mm512_dpbusd_epi32(bcc[j], c, u);
                    KEEP(bcc[j]);
                }
            }
            for (int j = 0; j < 8; j++) {
                _mm512_storeu_si512(&found[w + j][f], acc[j]);
                _mm512_storeu_si512(&found[w + j][f + 16], bcc[j]);
            }
        }
    }
}
#endif

/* ---- bit planes ----------------------------------------------------------------------------- */

static void planes_popcount(void) {
    for (int w = 0; w < WINDOWS; w++) {
        for (int f = 0; f < FILTERS; f++) {
            int64_t one = 0, two = 0, four = 0;
            for (int i = 0; i < WORDS; i++) {
                const uint64_t low = planes[w][0][i], high = planes[w][1][i];
                const uint64_t v = filters[f / 8][i][0][f % 8], u = filters[f / 8][i][1][f % 8];
                one += __builtin_popcountll(low & v);
                two += __builtin_popcountll(low & u) + __builtin_popcountll(high & v);
                four += __builtin_popcountll(high & u);
            }
            found[w][f] = (int32_t)(one + 2 * two + 4 * four) - doubled[w];
        }
    }
}

/* Bits of each byte, as two lookups of four bits. */
static inline __m256i bits_of(__m256i v) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1,
                                           2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i mask = _mm256_set1_epi8(15);
    return _mm256_add_epi8(
        _mm256_shuffle_epi8(table, _mm256_and_si256(v, mask)),
        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask)));
}

static void planes_avx2(void) {
    const __m256i zero = _mm256_setzero_si256();
    for (int f = 0; f < FILTERS; f += 4) {
        for (int w = 0; w < WINDOWS; w++) {
            /* A byte holds 9 times 8 bits, and twice that. */
            __m256i one = zero, two = zero, four = zero;
            for (int i = 0; i < WORDS; i++) {
                const __m256i low = _mm256_set1_epi64x((long long)planes[w][0][i]);
                const __m256i high = _mm256_set1_epi64x((long long)planes[w][1][i]);
                const __m256i v = _mm256_loadu_si256((const void *)&filters[f / 8][i][0][f % 8]);
                const __m256i u = _mm256_loadu_si256((const void *)&filters[f / 8][i][1][f % 8]);
                one = _mm256_add_epi8(one, bits_of(_mm256_and_si256(low, v)));
                two = _mm256_add_epi8(two, bits_of(_mm256_and_si256(low, u)));
                two = _mm256_add_epi8(two, bits_of(_mm256_and_si256(high, v)));
                four = _mm256_add_epi8(four, bits_of(_mm256_and_si256(high, u)));
            }
            int64_t sums[4];
            __m256i all = _mm256_add_epi64(
                _mm256_sad_epu8(one, zero), _mm256_slli_epi64(_mm256_sad_epu8(two, zero), 1));
            all = _mm256_add_epi64(all, _mm256_slli_epi64(_mm256_sad_epu8(four, zero), 2));
            _mm256_storeu_si256((void *)sums, all);
            for (int k = 0; k < 4; k++) {
                found[w][f + k] = (int32_t)sums[k] - doubled[w];
            }
        }
    }
}

#if defined(__AVX512VPOPCNTDQ__)
static void planes_avx512(void) {
    for (int f = 0; f < FILTERS; f += 8) {
        for (int w = 0; w < WINDOWS; w++) {
            __m512i one = _mm512_setzero_si512(), two = one, four = one;
            for (int i = 0; i < WORDS; i++) {
                const __m512i low = _mm512_set1_epi64((long long)planes[w][0][i]);
                const __m512i high = _mm512_set1_epi64((long long)planes[w][1][i]);
                const __m512i v = _mm512_load_si512(filters[f / 8][i][0]);
                const __m512i u = _mm512_load_si512(filters[f / 8][i][1]);
                one = _mm512_add_epi64(one, _mm512_popcnt_epi64(_mm512_and_si512(low, v)));
                two = _mm512_add_epi64(two, _mm512_popcnt_epi64(_mm512_and_si512(low, u)));
                two = _mm512_add_epi64(two, _mm512_popcnt_epi64(_mm512_and_si512(high, v)));
                four = _mm512_add_epi64(four, _mm512_popcnt_epi64(_mm512_and_si512(high, u)));
            }
            one = _mm512_add_epi64(one, _mm512_slli_epi64(two, 1));
            one = _mm512_add_epi64(one, _mm512_slli_epi64(four, 2));
            const __m256i sums = _mm512_cvtepi64_epi32(one);
            _mm256_storeu_si256(
                (void *)&found[w][f], _mm256_sub_epi32(sums, _mm256_set1_epi32(doubled[w])));
        }
    }
}
#endif

/* ---- bit planes of the weights that choose among sums of four codes ------------------------- */

static void lookup_avx2(void) {
    const __m256i low = _mm256_set1_epi16(255);
    for (int f = 0; f < FILTERS; f += 32) {
        for (int w = 0; w < WINDOWS; w += 4) {
            __m256i even[4], odd[4];
            for (int j = 0; j < 4; j++) {
                even[j] = odd[j] = _mm256_setzero_si256();
            }
            /* A byte holds seven sums of 3 x 12. */
            for (int i = 0; i < CODES / 4;) {
                __m256i acc[4];
                for (int j = 0; j < 4; j++) {
                    acc[j] = _mm256_setzero_si256();
                }
                for (int k = 0; k < 7 && i < CODES / 4; k++, i++) {
                    const __m256i v = _mm256_load_si256((const void *)chosen[f / 32][i][0]);
                    const __m256i u = _mm256_load_si256((const void *)chosen[f / 32][i][1]);
                    for (int j = 0; j < 4; j++) {
                        const __m256i t = _mm256_broadcastsi128_si256(
                            _mm_load_si128((const void *)tables[w + j][i]));
                        const __m256i twice = _mm256_shuffle_epi8(t, u);
                        acc[j] = _mm256_add_epi8(acc[j], _mm256_shuffle_epi8(t, v));
                        acc[j] = _mm256_add_epi8(acc[j], _mm256_add_epi8(twice, twice));
                    }
                }
                for (int j = 0; j < 4; j++) {
                    even[j] = _mm256_add_epi16(even[j], _mm256_and_si256(acc[j], low));
                    odd[j] = _mm256_add_epi16(odd[j], _mm256_srli_epi16(acc[j], 8));
                }
            }
            for (int j = 0; j < 4; j++) {
                uint16_t a[16], b[16];
                _mm256_storeu_si256((void *)a, even[j]);
                _mm256_storeu_si256((void *)b, odd[j]);
                for (int k = 0; k < 16; k++) {
                    found[w + j][f + 2 * k] = a[k] - doubled[w + j];
                    found[w + j][f + 2 * k + 1] = b[k] - doubled[w + j];
                }
            }
        }
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

int main(void) {
    static const struct {
        const char *name;
        void (*run)(void);
    } loops[] = {
        {"bytes_avx2", bytes_avx2},
#if defined(__AVX512VNNI__)
        {"bytes_avx512vnni", bytes_vnni},
        {"bytes_avx512vnni_two", bytes_vnni_two},
#endif
        {"planes_popcount64", planes_popcount},
        {"planes_avx2", planes_avx2},
#if defined(__AVX512VPOPCNTDQ__)
        {"planes_avx512vpopcntdq", planes_avx512},
#endif
        {"planes_lookup_avx2", lookup_avx2},
    };
    prepare();
    for (size_t k = 0; k < sizeof loops / sizeof loops[0]; k++) {
        double best = 1e30;
        memset(found, 0, sizeof found);
        for (int t = 0; t < TRIES; t++) {
            const double begin = now();
            for (int r = 0; r < ROUNDS; r++) {
                loops[k].run();
                __asm__ volatile("" ::: "memory");
            }
            best = now() - begin < best ? now() - begin : best;
        }
        if (memcmp(found, expected, sizeof found) != 0) {
            fprintf(stderr, "%s: sums differ\n", loops[k].name);
            return 1;
        }
        printf("%s %.1f\n", loops[k].name, (double)CODES * FILTERS * WINDOWS * ROUNDS / best);
    }
    return 0;
}
