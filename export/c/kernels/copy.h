/* The channels of a tensor into some of the channels of another: concatenation, and copies. */
#ifndef QD_COPY_H
#define QD_COPY_H

#include "layers.h"

QD_COLD void qd_copy(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    int32_t at = 0;
    for (int32_t pixel = 0; pixel < p->out_height * p->out_width; pixel++) {
        for (int32_t channel = 0; channel < p->in_channels; channel++) {
            const int32_t place = pixel * p->out_channels + p->first + channel;
            qd_store(out, p->out_type, place, qd_load(in, p->in_type, at++));
        }
    }
}

#endif
