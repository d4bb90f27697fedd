/* Sum over the pixels of each channel. A template: QD_NAME and QD_LOAD. */
QD_NOINLINE void QD_NAME(const qd_pixels_t *p, const uint8_t *in, uint8_t *out) {
    for (int32_t channel = 0; channel < p->channels; channel++) {
        int32_t acc = 0, at = channel;
        for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
            acc += QD_LOAD(in, at);
            at += p->channels;
        }
        qd_store(out, p->out_type, channel, qd_finish(&p->finish, channel, acc));
    }
}
