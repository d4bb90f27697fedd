"""Sums with the weights in their logic: the plan adds up, sharing pays, whole units use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.folding.file import FoldingConstraint
from qdeploy.dataflow.folding.options import search_space
from qdeploy.dataflow.rtl import constant_sums
from qdeploy.dataflow.rtl.constant_circuit import circuit
from qdeploy.dataflow.rtl.constant_sums import Plan, plan_sums
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design


def evaluate(plan: Plan, codes: np.ndarray) -> np.ndarray:
    """Sums (vectors, rows) modulo 2^width, number by number as the circuit adds them."""
    low = -(1 << (plan.bits - 1)) if plan.signed else 0
    raw: list[np.ndarray] = []
    for index, number in enumerate(plan.numbers):
        if number.left < 0:
            raw.append(codes[:, index] - low)
        else:
            right = raw[number.right]
            top = (1 << plan.numbers[number.right].bits) - 1
            raw.append(raw[number.left] + (top - right if number.minus else right))
        assert raw[-1].min() >= 0 and raw[-1].max() < 1 << number.bits
    sums = []
    for terms, constant in zip(plan.rows, plan.constants, strict=True):
        total = np.full(len(codes), constant)
        for term in terms:
            top = (1 << plan.numbers[term.number].bits) - 1
            one = top - raw[term.number] if term.minus else raw[term.number]
            total = total + (one << term.shift)
        sums.append(total % (1 << plan.width))
    return np.stack(sums, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 20),
    most=st.sampled_from([1, 1, 2, 7, 127]),
    bits=st.integers(1, 5),
    signed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_plan_adds_up_to_the_product(
    rows: int, columns: int, most: int, bits: int, signed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-most - 1, most + 1, (rows, columns))
    low = -(1 << (bits - 1)) if signed else 0
    codes = rng.integers(low, low + (1 << bits), (20, columns))
    codes[0], codes[1] = low, low + (1 << bits) - 1
    width = 18
    found = evaluate(plan_sums(weights, bits, signed, width), codes)
    np.testing.assert_array_equal(found, (codes @ weights.T) % (1 << width))


def test_digits_are_as_few_as_signed_digits_can_be() -> None:
    (terms,) = plan_sums(np.array([[0, 1, -1, 2, 3, 7, -8, 127]]), 2, False, 12).rows
    assert len(terms) == 0 + 1 + 1 + 1 + 2 + 2 + 1 + 2  # one row has nothing to share with another


def test_sharing_takes_fewer_tables_than_adding_every_row_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = np.random.default_rng(1).integers(-1, 2, (32, 96))
    shared = circuit(plan_sums(weights, 2, False, 9)).lut
    monkeypatch.setattr(constant_sums, "MAX_LEVELS", 0)
    constant_sums._plan.cache_clear()
    alone = circuit(plan_sums(weights, 2, False, 9)).lut
    constant_sums._plan.cache_clear()
    assert shared < 0.95 * alone


def test_a_bit_of_a_ternary_layer_takes_about_a_table() -> None:
    weights = np.random.default_rng(1).integers(-1, 2, (16, 144))
    made = circuit(plan_sums(weights, 2, False, 10))
    assert made.lut < 1.05 * np.count_nonzero(weights) * 2


def whole(bits: int = 2, weight_bits: int = 2) -> GraphMaker:
    maker = GraphMaker(5, (12,), bits=bits).dense(10, weight_bits=weight_bits)
    return maker.threshold(bits=2).dense(6).threshold(bits=4).dense(3)


def test_where_few_lanes_are_saved_by_folding_all_products_at_once_are_smaller() -> None:
    maker = GraphMaker(5, (64,), bits=2).dense(32).threshold(bits=2)
    options = search_space(hardware_layers(maker.graph()), load_costs()).groups[0].options
    least = {
        cycles: min(o.usage.lut for o in options if o.cycles == cycles) for cycles in (1, 2, 4, 64)
    }
    assert least[1] < least[2] and least[1] < least[4]
    assert least[64] < least[1]


@pytest.mark.parametrize(("bits", "weight_bits"), [(2, 2), (1, 1), (8, 4)])
def test_units_that_use_all_weights_at_once_are_exact_in_rtl(
    bits: int, weight_bits: int, tmp_path: Path
) -> None:
    maker = whole(bits, weight_bits)
    graph, codes = maker.graph(), maker.frames(20)
    layers = [n.name for n in hardware_layers(graph).graph.node if n.op_type.startswith("MVAU")]
    sizes = [(12, 10), (10, 6), (6, 3)]
    constraints = [
        FoldingConstraint(
            layer, {"SIMD": columns, "PE": rows} | ({"resType": "lut"} if bits > 4 else {}), ""
        )
        for layer, (columns, rows) in zip(layers, sizes, strict=True)
    ]
    if bits > 4:
        constraints[1:] = [
            FoldingConstraint(w.layer, {k: v for k, v in w.values.items() if k != "resType"}, "")
            for w in constraints[1:]
        ]
    board = load_board("pynq-z2")
    compiled = compile_graph(graph, board, tmp_path / "rtl", constraints=constraints)
    texts = [(tmp_path / "rtl" / f"{layer}.v").read_text() for layer in layers]
    assert all("qd_unrolled" in text for text in texts)
    simulator = simulate_design(
        tmp_path / "rtl", compiled.design, tmp_path / "models", optimize="-O0"
    )
    expected = run_reference(graph, codes)
    for stall in (0.4, 0.0):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=1)
        for name in graph.boundaries():
            found = run.outputs if name == graph.output else run.taps[name]
            np.testing.assert_array_equal(found, expected[name], err_msg=name)
