/* Convolution of any window, stride, dilation, padding and number of groups, one filter at a time.
 *
 * A template: QD_NAME is the function, QD_LOAD loads an input, QD_WEIGHT and QD_UNPACK a weight.
 * `scratch` holds one filter. No sum leaves 32 bits: qdeploy has checked the largest there can be.
 */
static void QD_NAME(const qd_conv_t *p, const uint8_t *in, uint8_t *out, uint8_t *scratch) {
    const int32_t depth = p->in_channels / p->groups;
    const int32_t per_group = p->out_channels / p->groups;
    const int32_t size = p->window_height * p->window_width * depth;
    for (int32_t channel = 0; channel < p->out_channels; channel++) {
        const int32_t first = channel / per_group * depth;
        QD_UNPACK(p->weights + channel * p->row_bytes, p->bits, p->least, size, scratch);
        int32_t place = channel;
        for (int32_t oy = 0; oy < p->out_height; oy++) {
            for (int32_t ox = 0; ox < p->out_width; ox++) {
                int32_t acc = 0, w = 0;
                for (int32_t ky = 0; ky < p->window_height; ky++) {
                    const int32_t y = oy * p->stride_down - p->top + ky * p->dilation_down;
                    if (y < 0 || y >= p->in_height) {
                        w += p->window_width * depth;
                        continue;
                    }
                    for (int32_t kx = 0; kx < p->window_width; kx++) {
                        const int32_t x = ox * p->stride_right - p->left + kx * p->dilation_right;
                        if (x < 0 || x >= p->in_width) {
                            w += depth;
                            continue;
                        }
                        const int32_t at = (y * p->in_width + x) * p->in_channels + first;
                        for (int32_t i = 0; i < depth; i++) {
                            acc += QD_LOAD(in, at + i) * QD_WEIGHT(scratch, w + i);
                        }
                        w += depth;
                    }
                }
                qd_store(out, p->out_type, place, qd_finish(&p->finish, channel, acc));
                place += p->out_channels;
            }
        }
    }
}
