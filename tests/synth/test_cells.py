"""Counting primitives the way Vivado's utilization report does."""

from __future__ import annotations

import pytest

from qdeploy.devices.capacity import Counts
from qdeploy.devices.families import XC7
from qdeploy.errors import ToolFailedError
from qdeploy.synth.cells import count


def test_luts_as_memory_and_shift_registers_count_as_luts() -> None:
    found = count(
        XC7, {"LUT6": 10, "LUT2": 5, "INV": 1, "RAM32M": 2, "SRL16E": 3, "SRLC32E": 1}, "m"
    )
    assert found == Counts(lut=10 + 5 + 1 + 8 + 4, lutram=8, srl=4)


def test_half_a_block_ram_is_a_half() -> None:
    cells = {"RAMB36E1": 2, "RAMB18E1": 3, "DSP48E1": 4, "FDRE": 7, "FDSE": 1, "CARRY4": 6}
    assert count(XC7, cells, "m") == Counts(bram36=3.5, dsp=4, ff=8, carry=6)


def test_wide_multiplexers_and_submodules_cost_nothing_here() -> None:
    assert count(XC7, {"MUXF7": 9, "MUXF8": 2, "layer": 3}, "m", ["layer"]) == Counts()


@pytest.mark.parametrize("kind", ["LDCE", "LDPE", "$_DLATCH_P_", "$dlatch"])
def test_a_latch_is_an_error_with_the_module_named(kind: str) -> None:
    with pytest.raises(ToolFailedError, match=r"1 latch.*in `body_conv1`"):
        count(XC7, {"LUT6": 1, kind: 1}, "body_conv1")


def test_a_cell_of_unknown_kind_is_never_ignored() -> None:
    with pytest.raises(ToolFailedError, match=r"unknown kind `\$mul`"):
        count(XC7, {"$mul": 1}, "m")


def test_counts_add_and_multiply_by_field() -> None:
    assert Counts(lut=2, bram36=0.5) * 3 + Counts(lut=1, ff=4) == Counts(lut=7, ff=4, bram36=1.5)
