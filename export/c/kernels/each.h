/* Bias or quantization of every element of `pixels` pixels from `first` on, to the first ones of
 * `out`. A template: QD_NAME and QD_LOAD. `out` may be `in`. */
QD_NOINLINE void QD_NAME(
    const qd_pixels_t *p, const uint8_t *in, uint8_t *out, int32_t first, int32_t pixels) {
    const int32_t from = first * p->channels;
    int32_t at = 0;
#if defined(QD_USE_LOOKUP)
    if (p->finish.kind == QD_LOOKUP && p->out_type <= QD_I8) {
        const uint8_t *const table = (const uint8_t *)p->finish.table;
        const int32_t count = pixels * p->channels, base = p->finish.base;
        for (; at + 4 <= count; at += 4) {
            out[at] = table[QD_LOAD(in, from + at) - base];
            out[at + 1] = table[QD_LOAD(in, from + at + 1) - base];
            out[at + 2] = table[QD_LOAD(in, from + at + 2) - base];
            out[at + 3] = table[QD_LOAD(in, from + at + 3) - base];
        }
        for (; at < count; at++) {
            out[at] = table[QD_LOAD(in, from + at) - base];
        }
        return;
    }
#endif
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        for (int32_t channel = 0; channel < p->channels; channel++, at++) {
            const int32_t acc = QD_LOAD(in, from + at);
            qd_store(out, p->out_type, at, qd_finish(&p->finish, channel, acc));
        }
    }
}
