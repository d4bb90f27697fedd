/* Sum of two tensors, element by element. A template: QD_NAME, QD_LOAD and QD_LOAD_OTHER.
 *
 * `pixels` pixels: the first ones of `in`, those of `other` from `from` on, to `out` from `first` on.
 * `out` may be `in` or `other`: each element is read before it is written, and none is smaller. */
QD_NOINLINE void QD_NAME(const qd_pixels_t *p, const uint8_t *in, const uint8_t *other,
    uint8_t *out, int32_t from, int32_t first, int32_t pixels) {
    const int32_t channels = p->channels, type = p->out_type;
    int32_t at = first * channels, o = from * channels, i = 0;
    if (qd_is_few(&p->finish) && (p->finish.flags & QD_SHARED) != 0) {
        qd_few_t few;
        qd_few(&p->finish, 0, &few);
        const int32_t t0 = few.t[0], t1 = few.t[1], t2 = few.t[2];
        const uint32_t base = few.base;
        const int32_t count = pixels * channels;
        if (type <= QD_I8) {
            for (; i < count; i++) {
                const int32_t acc = QD_LOAD(in, i) + QD_LOAD_OTHER(other, o + i);
                out[at + i] = (uint8_t)(base + qd_few_count(acc, t0, t1, t2));
            }
            return;
        }
#if defined(QD_USE_PACKED)
        if (type > QD_I32) {
            for (; i < count; i++) {
                const int32_t acc = QD_LOAD(in, i) + QD_LOAD_OTHER(other, o + i);
                const uint32_t code = base + qd_few_count(acc, t0, t1, t2);
                qd_store_packed(out, type, at + i, (int32_t)code);
            }
            return;
        }
#endif
    }
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        for (int32_t channel = 0; channel < channels; channel++, i++) {
            const int32_t acc = QD_LOAD(in, i) + QD_LOAD_OTHER(other, o + i);
            qd_store(out, type, at + i, qd_finish(&p->finish, channel, acc));
        }
    }
}
