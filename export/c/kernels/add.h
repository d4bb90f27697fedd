/* Sum of two tensors, element by element. A template: QD_NAME, QD_LOAD and QD_LOAD_OTHER.
 *
 * `out` may be `in`: each element is read before it is written, and none is smaller. */
static void QD_NAME(
    const qd_pixels_t *p, const uint8_t *in, const uint8_t *other, uint8_t *out) {
    int32_t at = 0;
    for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
        for (int32_t channel = 0; channel < p->channels; channel++) {
            const int32_t acc = QD_LOAD(in, at) + QD_LOAD_OTHER(other, at);
            qd_store(out, p->out_type, at, qd_finish(&p->finish, channel, acc));
            at++;
        }
    }
}
