/* Bias or quantization of every element. A template: QD_NAME and QD_LOAD. `out` may be `in`. */
QD_NOINLINE void QD_NAME(const qd_pixels_t *p, const uint8_t *in, uint8_t *out) {
    int32_t at = 0;
#if defined(QD_USE_LOOKUP)
    if (p->finish.kind == QD_LOOKUP) {
        const uint8_t *const table = (const uint8_t *)p->finish.table;
        const int32_t count = p->pixels * p->channels, base = p->finish.base;
        for (; at + 4 <= count; at += 4) {
            out[at] = table[QD_LOAD(in, at) - base];
            out[at + 1] = table[QD_LOAD(in, at + 1) - base];
            out[at + 2] = table[QD_LOAD(in, at + 2) - base];
            out[at + 3] = table[QD_LOAD(in, at + 3) - base];
        }
        for (; at < count; at++) {
            out[at] = table[QD_LOAD(in, at) - base];
        }
        return;
    }
#endif
    for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
        for (int32_t channel = 0; channel < p->channels; channel++) {
            qd_store(out, p->out_type, at, qd_finish(&p->finish, channel, QD_LOAD(in, at)));
            at++;
        }
    }
}
