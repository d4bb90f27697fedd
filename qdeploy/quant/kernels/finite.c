/* Whether all of some float32 arrays are finite numbers. */
#include <stdint.h>
#include <string.h>

int all_finite(const float *const *arrays, const int64_t *sizes, int count) {
  for (int k = 0; k < count; ++k) {
    const float *restrict values = arrays[k];
    int bad = 0;
    for (int64_t i = 0; i < sizes[k]; ++i) {
      uint32_t bits;
      memcpy(&bits, values + i, 4);
      bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (bad) return 0;
  }
  return 1;
}
