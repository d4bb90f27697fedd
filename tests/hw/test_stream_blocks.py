"""FIFO, width converter and frame end: what comes out is what went in, at full rate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack

STALLS = [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.5, 0.5)]


@pytest.mark.parametrize("depth, width", [(1, 8), (2, 5), (3, 70), (32, 8), (33, 8), (300, 33)])
def test_fifo_keeps_order_and_never_holds_more_than_its_depth(block_sim, depth, width):
    sim = block_sim(
        "qd_fifo", {"WIDTH": width, "DEPTH": depth}, width, width, probes=[("fill", 16)]
    )
    rng = np.random.default_rng(depth)
    beats = np.packbits(
        rng.integers(0, 2, (1500, width), dtype=np.uint8), axis=1, bitorder="little"
    )
    for seed, (stall_in, stall_out) in enumerate(STALLS):
        result = sim.run([beats], [1500], stall_in=stall_in, stall_out=stall_out, seed=seed)
        assert_array_equal(result.outputs[0], beats)
        assert result.probe_max["fill"] <= depth
        assert result.probe_final["fill"] == 0
        if stall_in == 0 and stall_out > 0:
            assert result.probe_max["fill"] == depth
        if stall_in == stall_out == 0:
            # A deep one has a register after the memory's.
            assert result.cycles <= 1500 + (3 if depth > 32 else 2)


@pytest.mark.parametrize(
    "in_elements, out_elements, bits", [(1, 4, 2), (6, 1, 3), (4, 4, 5), (8, 24, 4), (3, 1, 40)]
)
def test_width_converter_keeps_elements_in_order(block_sim, in_elements, out_elements, bits):
    parameters = {"IN_WIDTH": in_elements * bits, "OUT_WIDTH": out_elements * bits}
    sim = block_sim(
        "qd_dwc", parameters, in_elements * bits, out_elements * bits, libraries=("qd_cycle",)
    )
    half = bits > 32  # wider than a code can be: as two codes each
    code_bits, factor = (bits // 2, 2) if half else (bits, 1)
    count = 240 * factor * max(in_elements, out_elements)
    codes = np.random.default_rng(bits).integers(0, 1 << code_bits, count)
    beats = pack(codes, code_bits, in_elements * factor)
    out_beats = count // (out_elements * factor)
    for seed, (stall_in, stall_out) in enumerate(STALLS):
        result = sim.run([beats], [out_beats], stall_in=stall_in, stall_out=stall_out, seed=seed)
        got = unpack(result.outputs[0], code_bits, out_elements * factor, signed=False)
        assert_array_equal(got, codes)
        if stall_in == stall_out == 0:
            assert result.cycles <= max(len(beats), out_beats) + 1


@pytest.mark.parametrize("beats_a_frame", [1, 7, 16])
def test_last_is_high_exactly_at_each_frame_end(block_sim, beats_a_frame):
    sim = block_sim("qd_tlast", {"WIDTH": 12, "BEATS": beats_a_frame}, 12, 12, last=True)
    beats = pack(np.arange(5 * beats_a_frame) % 4096, 12, 1)
    for seed, (stall_in, stall_out) in enumerate(STALLS):
        result = sim.run([beats], [len(beats)], stall_in=stall_in, stall_out=stall_out, seed=seed)
        assert_array_equal(result.outputs[0], beats)
        assert_array_equal(result.lasts[0], (np.arange(len(beats)) + 1) % beats_a_frame == 0)
