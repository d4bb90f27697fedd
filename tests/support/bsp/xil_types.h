/* What the driver takes from AMD's standalone BSP, as its headers declare it: for compiling only. */
#ifndef XIL_TYPES_H
#define XIL_TYPES_H
#include <stdint.h>
typedef uint32_t u32;
typedef uint64_t u64;
typedef intptr_t INTPTR;
typedef uintptr_t UINTPTR;
#endif
