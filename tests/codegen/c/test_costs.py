"""Measured instructions of kernels: the table is of the present ones, layers are chosen by it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from c_networks import assert_exact
from random_graphs import GraphMaker

from qdeploy.codegen.c.buffers import banded
from qdeploy.codegen.c.choices import OPTIMIZE, Choices, load_choices
from qdeploy.codegen.c.instructions import TABLE, counts_of, instructions_of, kernel_name
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.staging import Unit
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.ways import chosen
from qdeploy.resources import resource

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from measure_c_costs import measured

DATA: dict[str, Any] = json.loads(resource(TABLE).read_text(encoding="utf-8"))
# Of a row that is measured again: compilers differ by as much.
NEAR = 0.02
# Mean and largest error that the table may have.
MEAN, LARGEST = 0.1, 0.25


@pytest.mark.parametrize(
    ("core", "kernel"), [("cortex-m0plus", "pairs"), ("cortex-m4", "fours, trits")]
)
def test_rows_measured_again_are_those_of_the_table(core: str, kernel: str) -> None:
    kept = [r for r in DATA["rows"][core] if (r["sample"], r["compiled"]) == (1, kernel)]
    again = measured(1, kernel, core)
    assert len(kept) == len(again) > 3
    for before, now in zip(kept, again, strict=True):
        assert before["kernel"] == now["kernel"]
        assert before["counts"] == now["counts"]
        assert now["instructions"] == pytest.approx(before["instructions"], rel=NEAR)


@pytest.mark.parametrize("core", DATA["cores"])
def test_the_fit_is_near_what_was_measured(core: str) -> None:
    for kernel, found in DATA["cores"][core].items():
        mine = [row for row in DATA["rows"][core] if row["kernel"] == kernel]
        assert len(mine) == found["fit"]["rows"]
        errors = [
            abs(
                sum(found["coefficients"].get(k, 0) * n for k, n in row["counts"].items())
                / row["instructions"]
                - 1
            )
            for row in mine
        ]
        assert sum(errors) / len(errors) == pytest.approx(found["fit"]["mean"], abs=2e-3)
        assert found["fit"]["mean"] < MEAN, kernel
        assert found["fit"]["largest"] < LARGEST, kernel


def the_conv(maker: GraphMaker, choices: Choices) -> Step:
    return program_of(maker.graph(), choices).steps[0]


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "rv32imc"])
@pytest.mark.parametrize(("bits", "weight_bits"), [(2, 2), (3, 3), (2, 3), (1, 2)])
def test_a_convolution_takes_the_kernel_of_the_fewest_instructions(
    core: str, bits: int, weight_bits: int, tmp_path: Path
) -> None:
    maker = GraphMaker(3, (8, 9, 10), bits=bits).conv(8, weight_bits=weight_bits).threshold()
    choices = load_choices("balanced", core)
    taken = banded(the_conv(maker, choices), choices.least_band)
    prices = {}
    for unit in Unit:
        one = the_conv(maker, replace(choices, units=(unit.name,)))
        if one.staging is not None:
            prices[unit] = instructions_of(banded(one, choices.least_band), core)
    assert taken.staging is not None and len(prices) >= 2
    assert prices[taken.staging.unit] == min(prices.values())  # type: ignore[type-var]
    assert_exact(maker.graph(), maker.frames(3), tmp_path, choices=choices)


def test_five_weights_to_a_byte_where_a_byte_is_worth_their_instructions() -> None:
    """The price of a byte at which a layer goes over is what the model says."""
    maker = GraphMaker(3, (16, 8, 8), bits=2).conv(16)
    plain = load_choices("balanced", "cortex-m4")
    packed = the_conv(maker, plain)
    trits = the_conv(maker, replace(plain, byte_price=1e9, units=(packed.staging.unit.name,)))  # type: ignore[union-attr]
    assert packed.weights is not None and trits.weights is not None
    assert trits.weights.trits and not packed.weights.trits
    saved = packed.weights.data.size - trits.weights.data.size
    assert saved > 0

    def count(step: Step) -> float:
        found = instructions_of(banded(step, plain.least_band), "cortex-m4")
        assert found is not None
        return found

    price = (count(trits) - count(packed)) / saved
    assert price > 0
    for factor, expected in ((0.9, packed), (1.1, trits)):
        choices = replace(plain, byte_price=factor * price)
        assert chosen([packed, trits], choices) is expected


def test_without_a_core_the_order_decides() -> None:
    maker = GraphMaker(3, (8, 9, 10), bits=2).conv(8)
    step = the_conv(maker, OPTIMIZE["balanced"])
    assert step.staging is not None and step.staging.unit is Unit.PAIRS
    flash = the_conv(maker, OPTIMIZE["flash"])
    assert flash.weights is not None and flash.weights.trits
    assert flash.staging is not None and flash.staging.unit is Unit.FOURS


def test_an_unknown_core_has_no_count_and_m7_those_of_m4() -> None:
    maker = GraphMaker(3, (8, 9, 10), bits=2).conv(8)
    step = banded(the_conv(maker, OPTIMIZE["balanced"]), 4)
    assert instructions_of(step, "nothing") is None
    assert instructions_of(step, "cortex-m7") == instructions_of(step, "cortex-m4")
    assert kernel_name(step) == "pairs"
    assert counts_of(step, "cortex-m4")["units"] < counts_of(step, "cortex-m0plus")["units"]
