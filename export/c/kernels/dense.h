/* Fully connected layer, weights read where they are packed. A template: QD_NAME and QD_LOAD.
 *
 *   sum a w = sum a field + least sum a
 *
 * modulo 2^32: the sum itself is within 32 bits with signs, which qdeploy has checked.
 */
QD_NOINLINE void QD_NAME(const qd_dense_t *p, const uint8_t *in, uint8_t *out) {
    const uint8_t *row = p->weights;
    const uint32_t bits = p->bits, mask = ((uint32_t)1 << bits) - 1u;
    for (int32_t o = 0; o < p->outputs; o++) {
        uint32_t acc = 0, all = 0, held = 0, have = 0;
        for (int32_t i = 0; i < p->inputs; i++) {
            const uint32_t a = (uint32_t)QD_LOAD(in, i);
            while (have < bits) {
                held |= (uint32_t)*row++ << have;
                have += 8;
            }
            acc += a * (held & mask);
            all += a;
            held >>= bits;
            have -= bits;
        }
        acc += all * (uint32_t)p->least;
        qd_store(out, p->out_type, o, qd_finish(&p->finish, o, (int32_t)acc));
    }
}
