/* The lengths differ: u32 on a Cortex-A9, INTPTR on a Cortex-A53 in 64 bits, where flushing is
 * invalidating, which writes back first. */
#ifndef XIL_CACHE_H
#define XIL_CACHE_H
#include "xil_types.h"
#ifdef __aarch64__
#define Xil_DCacheFlushRange Xil_DCacheInvalidateRange
void Xil_DCacheInvalidateRange(INTPTR adr, INTPTR len);
#else
void Xil_DCacheInvalidateRange(INTPTR adr, u32 len);
void Xil_DCacheFlushRange(INTPTR adr, u32 len);
#endif
#endif
