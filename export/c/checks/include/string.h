/* What kernels need of string.h, for compilers that come without a C library. */
#ifndef QD_CHECK_STRING_H
#define QD_CHECK_STRING_H
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
#endif
