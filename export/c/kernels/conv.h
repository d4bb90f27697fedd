/* Convolution of any window, stride, dilation, padding and number of groups, one filter at a time.
 *
 * A template: QD_NAME is the function, QD_LOAD loads an input, QD_WEIGHT and QD_UNPACK a weight.
 * `rows` rows of the result from `first_row` on, to `out` from its pixel `at_pixel` on. `scratch` holds one
 * filter. No sum leaves 32 bits: qdeploy has checked the largest there can be.
 */
QD_NOINLINE void QD_NAME(const qd_conv_t *p, const uint8_t *in, uint8_t *out, uint8_t *scratch,
    int32_t first_row, int32_t rows, int32_t at_pixel) {
    const int32_t depth = p->in_channels / p->groups;
    const int32_t per_group = p->out_channels / p->groups;
    /* Columns of a window that lie one after the other in memory. */
    const int32_t span = p->dilation_right == 1 && p->groups == 1 ? p->window_width : 1;
    const int32_t size = p->window_height * p->window_width * depth;
    for (int32_t channel = 0; channel < p->out_channels; channel++) {
        const int32_t first = channel / per_group * depth;
        QD_UNPACK(p->weights + channel * p->row_bytes, p->bits, p->least, size, scratch);
        int32_t place = at_pixel * p->out_channels + channel;
        for (int32_t oy = first_row; oy < first_row + rows; oy++) {
            for (int32_t ox = 0; ox < p->out_width; ox++) {
                int32_t acc = 0, w = 0;
                for (int32_t ky = 0; ky < p->window_height; ky++) {
                    const int32_t y = oy * p->stride_down - p->top + ky * p->dilation_down;
                    if (y < 0 || y >= p->in_height) {
                        w += p->window_width * depth;
                        continue;
                    }
                    for (int32_t kx = 0; kx < p->window_width; kx += span) {
                        const int32_t x = ox * p->stride_right - p->left + kx * p->dilation_right;
                        const int32_t begin = x < 0 ? -x : 0;
                        const int32_t end = x + span > p->in_width ? p->in_width - x : span;
                        const int32_t at = (QD_HELD(p, y) * p->in_width + x + begin) * p->in_channels + first;
                        const int32_t from = w + begin * depth;
                        for (int32_t i = 0; i < (end - begin) * depth; i++) {
                            acc += QD_LOAD(in, at + i) * QD_WEIGHT(scratch, from + i);
                        }
                        w += span * depth;
                    }
                }
                qd_store(out, p->out_type, place, qd_finish(&p->finish, channel, acc));
                place += p->out_channels;
            }
        }
    }
}
