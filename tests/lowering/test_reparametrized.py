"""Re-parametrized quantizers, and how many bits scales and biases have.

    weights      α·Q(w)              activations    γ·Q(a) + β

with a norm after the layer, as every layer but the head has one:

    s·Σ α·w·(γ·a + β) + b = (s·α·γ)·Σ w·a + (b + s·α·β·Σ w)

so they are a norm of other numbers, and hardware, which compares sums with thresholds, is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from qdeploy.ir.integer_graph import Dense, IntegerGraph, Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
STEP = Fraction(1, 4)  # of the weights of both layers
ALPHA, GAMMA, BETA = 1.5, 0.75, -0.375
SHAPES = {"w1": (5, 4), "w2": (4, 3), "w3": (3, 2)}


def constants() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    found = {name: rng.integers(-3, 4, shape) / 4 for name, shape in SHAPES.items()}
    found |= {"s1": rng.integers(-8, 9, 4) / 4 + 1 / 8, "b1": rng.integers(-9, 10, 4) / 16}
    found |= {"s2": rng.integers(-8, 9, 3) / 4 + 1 / 8, "b2": rng.integers(-9, 10, 3) / 16}
    found |= {"zero": 0, "three": 3, "two": 2, "eight": 8, "byte": 1 / 256, "wstep": 1 / 4}
    found |= {"astep": 1 / 8, "gamma": GAMMA, "beta": BETA}
    # α · Q(w), as a quantizer has it: its step is α times as long.
    found |= {"w2_wide": ALPHA * found["w2"], "alpha_step": ALPHA / 4}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def nodes(quant_node: Quant, *, reparametrized: bool) -> list[onnx.NodeProto]:
    made = [quant_node("x", "xq", "byte", "eight", signed=0)]
    made += [quant_node(w, f"{w}q", "wstep", "three") for w in SHAPES]
    last = "xq"
    for index in (1, 2):
        weights = f"w{index}q"
        if index == 2 and reparametrized:
            made.append(helper.make_node("Mul", [last, "gamma"], ["scaled"], "gamma"))
            made.append(helper.make_node("Add", ["scaled", "beta"], ["moved"], "beta"))
            made.append(quant_node("w2_wide", "w2_wide_q", "alpha_step", "three"))
            last, weights = "moved", "w2_wide_q"
        out = f"a{index}"
        made += [
            helper.make_node("MatMul", [last, weights], [f"{out}_sum"], f"fc{index}"),
            helper.make_node("Mul", [f"{out}_sum", f"s{index}"], [f"{out}_m"], f"mul{index}"),
            helper.make_node("Add", [f"{out}_m", f"b{index}"], [f"{out}_n"], f"add{index}"),
            quant_node(f"{out}_n", out, "astep", "two", signed=0, narrow=0),
        ]
        last = out
    made.append(helper.make_node("MatMul", [last, "w3q"], ["out"], "head"))
    return made


def thresholds(graph: IntegerGraph) -> list[np.ndarray]:
    return [node.thresholds for node in graph.nodes if isinstance(node, Threshold)]


def test_gamma_beta_and_alpha_are_a_norm_of_other_numbers(
    write_qonnx: Write, quant_node: Quant
) -> None:
    given = constants()
    moved = given["b2"] + given["s2"] * np.float32(ALPHA * BETA) * given["w2"].sum(axis=0)
    folded = {**given, "s2": given["s2"] * np.float32(ALPHA * GAMMA), "b2": moved}
    with_them = lower(write_qonnx(nodes(quant_node, reparametrized=True), given, (1, 5), (1, 2)))
    without = lower(write_qonnx(nodes(quant_node, reparametrized=False), folded, (1, 5), (1, 2)))
    pairs = list(zip(thresholds(with_them), thresholds(without), strict=True))
    assert len(pairs) == 2
    for one, two in pairs:
        assert np.array_equal(one, two)
    codes = np.random.default_rng(1).integers(0, 256, (500, 5)).astype(np.uint8)
    found, wanted = run_reference(with_them, codes), run_reference(without, codes)
    assert np.array_equal(found[with_them.logits], wanted[without.logits])
    # They do something: the same norm without them is another network.
    plain = lower(write_qonnx(nodes(quant_node, reparametrized=False), given, (1, 5), (1, 2)))
    assert not np.array_equal(thresholds(plain)[1], thresholds(without)[1])


def test_no_number_of_bits_of_scales_and_biases_says_more_than_the_thresholds(
    write_qonnx: Write, quant_node: Quant
) -> None:
    """With float32 scales and biases of any kind, every sum there is has the code of exact
    arithmetic; scales and biases of 8 bits would give others."""
    rng = np.random.default_rng(3)
    given = constants() | {
        "s1": rng.normal(size=4).astype(np.float32),
        "b1": rng.normal(size=4).astype(np.float32),
    }
    graph = lower(write_qonnx(nodes(quant_node, reparametrized=False), given, (1, 5), (1, 2)))
    layer = next(node for node in graph.nodes if isinstance(node, Dense))
    table = next(node for node in graph.nodes if isinstance(node, Threshold))
    differing = 0
    for channel in range(4):
        scale, bias = (Fraction(float(given[key][channel])) for key in ("s1", "b1"))
        row = layer.weights[channel]
        # A negative scale turns the layer's sums, so that thresholds ascend.
        sign = -1 if scale < 0 else 1
        assert np.array_equal(row, sign * 4 * given["w1"][:, channel])
        low, high = 255 * int(row[row < 0].sum()), 255 * int(row[row > 0].sum())
        for total in range(low, high + 1):
            value = sign * total * STEP / 256
            code = table.base + int((table.thresholds[channel] <= total).sum())
            assert code == _code(scale * value + bias)
            differing += code != _code(_eight_bits(scale) * value + _eight_bits(bias))
    assert differing > 0


def _code(value: Fraction) -> int:
    """round(value / step), half to even, of 2 unsigned bits."""
    return min(3, max(0, round(value * 8)))


def _eight_bits(value: Fraction) -> Fraction:
    return Fraction(round(value * 64), 64)
