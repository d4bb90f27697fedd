/* Larger maps: pixels repeated, zeros between pixels, channels spread over pixels. */
#ifndef QD_ENLARGE_H
#define QD_ENLARGE_H

#include "layers.h"

#if defined(QD_USE_UPSAMPLE)
QD_COLD void qd_upsample(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    int32_t place = 0;
    for (int32_t oy = 0; oy < p->out_height; oy++) {
        for (int32_t ox = 0; ox < p->out_width; ox++) {
            const int32_t at = (oy / p->down * p->in_width + ox / p->right) * p->in_channels;
            for (int32_t channel = 0; channel < p->in_channels; channel++) {
                qd_store(out, p->out_type, place++, qd_load(in, p->in_type, at + channel));
            }
        }
    }
}
#endif

#if defined(QD_USE_DILATE)
QD_COLD void qd_dilate(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    int32_t place = 0, at = 0;
    for (int32_t oy = 0; oy < p->out_height; oy++) {
        for (int32_t ox = 0; ox < p->out_width; ox++) {
            const int inside = oy % p->down == 0 && ox % p->right == 0;
            for (int32_t channel = 0; channel < p->in_channels; channel++) {
                qd_store(out, p->out_type, place++, inside ? qd_load(in, p->in_type, at++) : 0);
            }
        }
    }
}
#endif

#if defined(QD_USE_DEPTH_TO_SPACE)
/* Channel (by * block + bx) * C + c of a pixel becomes channel c of row by, column bx of its square. */
QD_COLD void qd_depth_to_space(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    int32_t place = 0;
    for (int32_t oy = 0; oy < p->out_height; oy++) {
        for (int32_t ox = 0; ox < p->out_width; ox++) {
            const int32_t part = oy % p->down * p->down + ox % p->down;
            const int32_t pixel = oy / p->down * p->in_width + ox / p->down;
            const int32_t at = pixel * p->in_channels + part * p->out_channels;
            for (int32_t channel = 0; channel < p->out_channels; channel++) {
                qd_store(out, p->out_type, place++, qd_load(in, p->in_type, at + channel));
            }
        }
    }
}
#endif

#endif
