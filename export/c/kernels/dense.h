/* Fully connected layer, weights read where they are packed. A template: QD_NAME, QD_LOAD, and
 *
 *   QD_REST   1 where weights or rows end within a byte, 2 for five weights of three values to one
 *   QD_BITS   1, 2, 4 or 8 for a copy of its own for weights of so many bits; 0 for p->bits
 *
 *   sum a w = sum a field + least sum a
 *
 * modulo 2^32: the sum itself is within 32 bits with signs, which qdeploy has checked.
 */
QD_NOINLINE void QD_NAME(const qd_dense_t *p, const uint8_t *in, uint8_t *out) {
    const uint8_t *row = p->weights;
    const int32_t inputs = p->inputs;
    uint32_t all = 0;
    for (int32_t i = 0; i < inputs; i++) {
        all += (uint32_t)QD_LOAD(in, i);
    }
    all *= (uint32_t)p->least;
    for (int32_t o = 0; o < p->outputs; o++) {
        uint32_t acc = all;
#if QD_BITS
        const uint32_t field = ((uint32_t)1 << QD_BITS) - 1u;
        for (int32_t i = 0; i < inputs; i += 8 / QD_BITS) {
            const uint32_t held = *row++;
            acc += (uint32_t)QD_LOAD(in, i) * (held & field);
#if QD_BITS <= 4
            acc += (uint32_t)QD_LOAD(in, i + 1) * (held >> QD_BITS & field);
#endif
#if QD_BITS <= 2
            acc += (uint32_t)QD_LOAD(in, i + 2) * (held >> 2 * QD_BITS & field);
            acc += (uint32_t)QD_LOAD(in, i + 3) * (held >> 3 * QD_BITS & field);
#endif
#if QD_BITS == 1
            acc += (uint32_t)QD_LOAD(in, i + 4) * (held >> 4 & field);
            acc += (uint32_t)QD_LOAD(in, i + 5) * (held >> 5 & field);
            acc += (uint32_t)QD_LOAD(in, i + 6) * (held >> 6 & field);
            acc += (uint32_t)QD_LOAD(in, i + 7) * (held >> 7);
#endif
        }
#elif QD_REST == 2
        /* As in unpack.h. */
        for (int32_t i = 0; i < inputs;) {
            const int32_t end = inputs - i < 5 ? inputs : i + 5;
            uint32_t held = *row++;
            for (; i < end; i++) {
                held *= 3u;
                acc += (uint32_t)QD_LOAD(in, i) * (held >> 8);
                held &= 0xFFu;
            }
        }
#elif QD_REST
        const uint32_t bits = p->bits, mask = ((uint32_t)1 << bits) - 1u;
        uint32_t held = 0, have = 0;
        for (int32_t i = 0; i < inputs; i++) {
            while (have < bits) {
                held |= (uint32_t)*row++ << have;
                have += 8;
            }
            acc += (uint32_t)QD_LOAD(in, i) * (held & mask);
            held >>= bits;
            have -= bits;
        }
#else
        const uint32_t bits = p->bits, mask = ((uint32_t)1 << bits) - 1u;
        for (int32_t i = 0; i < inputs;) {
            /* The bit above the fields comes down to the end when all are done. */
            uint32_t held = (uint32_t)*row++ | 0x100u;
            do {
                acc += (uint32_t)QD_LOAD(in, i) * (held & mask);
                i++;
                held >>= bits;
            } while (held != 1u);
        }
#endif
        qd_store(out, p->out_type, o, qd_finish(&p->finish, o, (int32_t)acc));
    }
}
