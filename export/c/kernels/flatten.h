/* A map as a vector, channel slowest. */
#ifndef QD_FLATTEN_H
#define QD_FLATTEN_H

#include "layers.h"

QD_COLD void qd_flatten(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    const int32_t pixels = p->in_height * p->in_width;
    int32_t at = 0;
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        for (int32_t channel = 0; channel < p->in_channels; channel++) {
            qd_store(out, p->out_type, channel * pixels + pixel, qd_load(in, p->in_type, at++));
        }
    }
}

#endif
