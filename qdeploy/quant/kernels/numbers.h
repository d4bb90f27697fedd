/* Float32 from and to the types that kernels read and write. */
#ifndef QDEPLOY_NUMBERS_H
#define QDEPLOY_NUMBERS_H
#include <stdint.h>
#include <string.h>

typedef uint16_t bfloat16;

static inline float from_f32(float v) { return v; }
static inline float from_bf16(bfloat16 v) {
  uint32_t bits = (uint32_t)v << 16;
  float made;
  memcpy(&made, &bits, 4);
  return made;
}
static inline float to_f32(float v) { return v; }
/* Round half to even; gradients that are not a number stay so. */
static inline bfloat16 to_bf16(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bfloat16)(v != v ? 0x7fc0 : rounded);
}

#endif
