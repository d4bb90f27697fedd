/* Elements of tensors: loads and stores without undefined behaviour.
 *
 * Every buffer is an array of bytes aligned to 4. Elements of more than a byte go through memcpy of
 * a known size from a known alignment, which compilers turn into one load or store.
 */
#ifndef QD_COMMON_H
#define QD_COMMON_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define QD_ALIGNED(p, n) __builtin_assume_aligned((p), (n))
#define QD_INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define QD_NOINLINE static __attribute__((noinline, unused))
#else
/* One copy of each kernel for all layers. */
#define QD_NOINLINE static __attribute__((noinline, noclone, unused))
#endif
/* For size rather than speed. Only for functions that call no others: these would be cold too. */
#define QD_COLD QD_NOINLINE __attribute__((cold))
/* Keeps a sum in one register, as it is written: compilers that add up several products first have
 * too few registers. */
#if defined(__thumb__) && !defined(__thumb2__)
#define QD_KEEP(v) __asm__("" : "+l"(v))
#else
#define QD_KEEP(v) __asm__("" : "+r"(v))
#endif
#else
#define QD_KEEP(v) ((void)0)
#define QD_ALIGNED(p, n) (p)
#define QD_INLINE static inline
#define QD_NOINLINE static
#define QD_COLD static
#endif

/* Types of elements; those of less than a byte are packed, the first in the lowest bits. */
enum { QD_U8 = 0, QD_I8 = 1, QD_U16 = 2, QD_I16 = 3, QD_I32 = 4, QD_U1 = 5, QD_U2 = 6, QD_U4 = 7 };

QD_INLINE int32_t qd_load_u8(const uint8_t *p, int32_t i) { return (int32_t)p[i]; }

QD_INLINE int32_t qd_load_i8(const uint8_t *p, int32_t i) {
    return (int32_t)((const int8_t *)p)[i];
}

QD_INLINE int32_t qd_load_u16(const uint8_t *p, int32_t i) {
    uint16_t v;
    memcpy(&v, QD_ALIGNED(p + 2 * i, 2), 2);
    return (int32_t)v;
}

QD_INLINE int32_t qd_load_i16(const uint8_t *p, int32_t i) {
    int16_t v;
    memcpy(&v, QD_ALIGNED(p + 2 * i, 2), 2);
    return (int32_t)v;
}

QD_INLINE int32_t qd_load_i32(const uint8_t *p, int32_t i) {
    int32_t v;
    memcpy(&v, QD_ALIGNED(p + 4 * i, 4), 4);
    return v;
}

#if defined(QD_USE_PACKED)
QD_INLINE int32_t qd_load_u1(const uint8_t *p, int32_t i) { return p[i >> 3] >> (i & 7) & 1; }

QD_INLINE int32_t qd_load_u2(const uint8_t *p, int32_t i) { return p[i >> 2] >> 2 * (i & 3) & 3; }

QD_INLINE int32_t qd_load_u4(const uint8_t *p, int32_t i) { return p[i >> 1] >> 4 * (i & 1) & 15; }

/* Other elements of the byte stay as they are. */
QD_NOINLINE void qd_store_packed(uint8_t *p, int32_t type, int32_t i, int32_t value) {
    const int32_t log = type - QD_U1; /* of an element's bits; 3 - log is that of a byte's elements */
    const uint32_t shift = ((uint32_t)i & ((8u >> log) - 1u)) << log;
    const uint32_t field = ((uint32_t)1 << ((uint32_t)1 << log)) - 1u;
    p += i >> (3 - log);
    *p = (uint8_t)((*p & ~(field << shift)) | (uint32_t)value << shift);
}
#endif

QD_INLINE uint32_t qd_word(const uint8_t *p, int32_t i) {
    uint32_t v;
    memcpy(&v, QD_ALIGNED(p + 4 * i, 4), 4);
    return v;
}

QD_INLINE void qd_put_word(uint8_t *p, uint32_t v) { memcpy(QD_ALIGNED(p, 4), &v, 4); }

QD_INLINE int32_t qd_load(const uint8_t *p, int32_t type, int32_t i) {
    switch (type) {
    case QD_U8: return qd_load_u8(p, i);
    case QD_I8: return qd_load_i8(p, i);
    case QD_U16: return qd_load_u16(p, i);
    case QD_I16: return qd_load_i16(p, i);
#if defined(QD_USE_PACKED)
    case QD_U1: return qd_load_u1(p, i);
    case QD_U2: return qd_load_u2(p, i);
    case QD_U4: return qd_load_u4(p, i);
#endif
    default: return qd_load_i32(p, i);
    }
}

/* The value is one that the type holds: its low bytes are it. */
QD_INLINE void qd_store(uint8_t *p, int32_t type, int32_t i, int32_t value) {
    if (type <= QD_I8) {
        p[i] = (uint8_t)(uint32_t)value;
    } else if (type <= QD_I16) {
        const uint16_t v = (uint16_t)(uint32_t)value;
        memcpy(QD_ALIGNED(p + 2 * i, 2), &v, 2);
#if defined(QD_USE_PACKED)
    } else if (type > QD_I32) {
        qd_store_packed(p, type, i, value);
#endif
    } else {
        memcpy(QD_ALIGNED(p + 4 * i, 4), &value, 4);
    }
}

#endif
