/* Maximum over a window; padding never wins. */
#ifndef QD_MAX_POOL_H
#define QD_MAX_POOL_H

#include "layers.h"

/* `rows` rows of the result from `first` on, to `out` from its pixel `at` on. `out` may be `in` where nothing is padded above or to the left: each element is written no later
 * than all that is still to be read lies. */
QD_NOINLINE void qd_max_pool(const qd_move_t *p, const uint8_t *in, uint8_t *out, int32_t first,
    int32_t rows, int32_t at) {
    int32_t place = at * p->out_channels;
    for (int32_t oy = first; oy < first + rows; oy++) {
        for (int32_t ox = 0; ox < p->out_width; ox++) {
            for (int32_t channel = 0; channel < p->out_channels; channel++) {
                int32_t best = INT32_MIN;
                for (int32_t ky = 0; ky < p->window_height; ky++) {
                    const int32_t y = oy * p->down - p->top + ky;
                    for (int32_t kx = 0; kx < p->window_width; kx++) {
                        const int32_t x = ox * p->right - p->left + kx;
                        if (y >= 0 && y < p->in_height && x >= 0 && x < p->in_width) {
                            const int32_t from = (QD_HELD(p, y) * p->in_width + x) * p->in_channels + channel;
                            const int32_t v = qd_load(in, p->in_type, from);
                            best = v > best ? v : best;
                        }
                    }
                }
                qd_store(out, p->out_type, place++, best);
            }
        }
    }
}

#endif
