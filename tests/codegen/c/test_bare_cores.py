"""Networks in C on bare cores under QEMU: every boundary, and what is measured there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import random_graphs
from bad_files import SmallNetwork
from c_networks import sources
from random_graphs import GraphMaker

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.codegen.c.cores import CORES
from qdeploy.codegen.c.staging import Unit
from qdeploy.ir.reference import run_reference
from qdeploy.verify.compare import compare
from qdeploy.verify.rungs.c_bare import run_bare

BARE = [name for name, core in CORES.items() if core.emulator]


@pytest.mark.parametrize("name", BARE)
def test_a_network_is_exact_on_a_bare_core(name: str, tmp_path: Path) -> None:
    assert shutil.which(CORES[name].emulator), "scripts/setup installs it"
    maker = random_graphs.small_mobilenet(2)
    graph, frames = maker.graph(), maker.frames(3)
    program = sources(graph, tmp_path)
    found, measured = run_bare(program, tmp_path, "network", CORES[name], frames)
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()
    assert measured.instructions is not None and measured.instructions > 10_000
    assert 64 <= measured.stack <= 512
    assert 1_000 < measured.flash < 12_500
    assert measured.static == 0
    assert measured.steps is not None and len(measured.steps) == len(program.steps)
    assert all(count > 0 for count in measured.steps)
    assert abs(sum(measured.steps) - measured.instructions) < 100 * len(program.steps)
    assert measured.arena == -(-program.memory.size // 4) * 4


@pytest.mark.parametrize("name", BARE)
def test_few_bits_are_exact_on_a_bare_core(name: str, tmp_path: Path) -> None:
    maker = GraphMaker(5, (3, 9, 10), bits=8).conv(6, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(6).threshold(bits=8, base=-127).add(first).threshold(bits=2)
    maker.conv(7, stride=(2, 2)).threshold(bits=2).conv(5).threshold(bits=2).flatten().dense(4)
    graph, frames = maker.graph(), maker.frames(3)
    program = sources(graph, tmp_path)
    units = {step.staging.unit for step in program.steps if step.staging is not None}
    assert units == set(Unit)
    found, _ = run_bare(program, tmp_path, "network", CORES[name], frames)
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()


def test_a_build_for_a_core_runs_there_and_says_what_it_takes(tmp_path: Path) -> None:
    path = SmallNetwork().save(tmp_path / "small.onnx")
    skip = ("qonnx", "int", "c")
    options = Options(path, target="c", frames=4, mcu="cortex-m0plus", skip=skip)
    result = build(options, tmp_path / "build")
    rungs = {one.name: one for one in result.rungs}
    arm = rungs["c-arm"]
    assert arm.passed and arm.skipped is None
    assert arm.details["core"] == "cortex-m0plus"
    assert arm.details["ram_bytes"] > arm.details["arena_bytes"] + arm.details["stack_bytes"]
    assert rungs["c-riscv"].skipped == "--mcu names no RISC-V core: rv32imc"


def test_without_the_compiler_the_rung_is_skipped_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = SmallNetwork().save(tmp_path / "small.onnx")
    skip = ("qonnx", "int", "c")
    options = Options(path, target="c", frames=4, mcu="rv32imc", skip=skip)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    rungs = {one.name: one for one in build(options, tmp_path / "build").rungs}
    assert rungs["c-riscv"].skipped is not None
    assert "`riscv64-unknown-elf-gcc` is not installed" in rungs["c-riscv"].skipped
