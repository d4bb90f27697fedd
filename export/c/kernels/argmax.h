/* Index of the largest channel of every pixel, the lowest index on a tie. */
#ifndef QD_ARGMAX_H
#define QD_ARGMAX_H

#include "layers.h"

QD_COLD void qd_argmax(const qd_move_t *p, const uint8_t *in, uint8_t *out) {
    int32_t at = 0;
    for (int32_t pixel = 0; pixel < p->out_height * p->out_width; pixel++) {
        int32_t best = INT32_MIN, index = 0;
        for (int32_t channel = 0; channel < p->in_channels; channel++) {
            const int32_t v = qd_load(in, p->in_type, at++);
            if (v > best) {
                best = v;
                index = channel;
            }
        }
        qd_store(out, p->out_type, pixel, index);
    }
}

#endif
