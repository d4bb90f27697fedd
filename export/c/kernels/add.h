/* Sum of two tensors, element by element. A template: QD_NAME, QD_LOAD and QD_LOAD_OTHER.
 *
 * `out` may be `in`: each element is read before it is written, and none is smaller. */
QD_NOINLINE void QD_NAME(
    const qd_pixels_t *p, const uint8_t *in, const uint8_t *other, uint8_t *out) {
    const int32_t count = p->pixels * p->channels;
    int32_t at = 0;
    if (p->out_type <= QD_I8 && qd_is_few(&p->finish) && (p->finish.flags & QD_SHARED) != 0) {
        qd_few_t few;
        qd_few(&p->finish, 0, &few);
        const int32_t t0 = few.t[0], t1 = few.t[1], t2 = few.t[2];
        const uint32_t base = few.base;
        for (; at < count; at++) {
            const int32_t acc = QD_LOAD(in, at) + QD_LOAD_OTHER(other, at);
            out[at] = (uint8_t)(base + qd_few_count(acc, t0, t1, t2));
        }
        return;
    }
    for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
        for (int32_t channel = 0; channel < p->channels; channel++) {
            const int32_t acc = QD_LOAD(in, at) + QD_LOAD_OTHER(other, at);
            qd_store(out, p->out_type, at, qd_finish(&p->finish, channel, acc));
            at++;
        }
    }
}
