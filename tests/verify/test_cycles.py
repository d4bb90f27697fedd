"""Cycles from the manuals' tables: every instruction of a frame is counted once."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_graphs
from c_networks import sources

from qdeploy.codegen.c.cores import CORES
from qdeploy.verify.cycles import cycles_of, estimated_cycles
from qdeploy.verify.rungs.c_bare import run_bare


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m4"])
def test_the_instructions_are_those_of_the_counter(name: str, tmp_path: Path) -> None:
    maker = random_graphs.small_resnet(1)
    graph, frames = maker.graph(), maker.frames(1)
    program = sources(graph, tmp_path)
    _, measured = run_bare(program, tmp_path, "network", CORES[name], frames)
    found, cycles = estimated_cycles(program, tmp_path, "network", CORES[name], frames)
    assert measured.instructions is not None
    # A tick of the counter is 40 instructions, and some are around the call.
    assert abs(found - measured.instructions) <= 80
    assert found < cycles < 3 * found


@pytest.mark.parametrize(
    ("line", "core", "jumps", "cycles"),
    [
        ("adds r3, #4", "cortex-m0plus", False, 1),
        ("muls r3, r4, r3", "cortex-m0plus", False, 1),
        ("ldrb r3, [r0, #2]", "cortex-m0plus", False, 2),
        ("ldm r1!, {r4, r5, r6, r7}", "cortex-m0plus", False, 5),
        ("pop {r4-r7, pc}", "cortex-m0plus", True, 8),
        ("bne #0x124", "cortex-m0plus", True, 2),
        ("bne #0x124", "cortex-m0plus", False, 1),
        ("bl #0x124", "cortex-m0plus", True, 3),
        ("blt #0x124", "cortex-m0plus", True, 2),
        ("bic.w r1, r1, r2", "cortex-m4", False, 1),
        ("smlal r0, r1, r2, r3", "cortex-m4", False, 1),
        ("ldrd r0, r1, [r2], #8", "cortex-m4", False, 3),
        ("bne.w #0x124", "cortex-m4", True, 3),
        ("udiv r0, r1, r2", "cortex-m4", False, 12),
    ],
)
def test_cycles_of_an_instruction_are_the_manuals(
    line: str, core: str, jumps: bool, cycles: int
) -> None:
    mnemonic, _, operands = line.partition(" ")
    assert cycles_of(mnemonic, operands, core, jumps=jumps) == cycles
