/* Bias or quantization of every element. A template: QD_NAME and QD_LOAD. `out` may be `in`. */
static void QD_NAME(const qd_pixels_t *p, const uint8_t *in, uint8_t *out) {
    int32_t at = 0;
    for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
        for (int32_t channel = 0; channel < p->channels; channel++) {
            qd_store(out, p->out_type, at, qd_finish(&p->finish, channel, QD_LOAD(in, at)));
            at++;
        }
    }
}
