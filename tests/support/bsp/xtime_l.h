#ifndef XTIME_H
#define XTIME_H
#include "xil_types.h"
typedef u64 XTime;
#ifdef __aarch64__
#define COUNTS_PER_SECOND 100000000U
#else
#define COUNTS_PER_SECOND (650000000 / 2)
#endif
void XTime_GetTime(XTime *Xtime_Global);
#endif
