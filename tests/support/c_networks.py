"""A network in C on this machine: compiled strictly and with sanitizers, its taps compared."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from qdeploy.artifacts import write_text
from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE, Choices
from qdeploy.codegen.c.cores import Core
from qdeploy.codegen.c.generate import DEFAULT_PREFIX, generate
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.codegen.c.taps import input_bytes, tapped, taps_header
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.resources import resource
from qdeploy.verify.compare import compare
from qdeploy.verify.native_c import STANDARD
from qdeploy.verify.rungs.c_bare import Measured, run_bare

SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def sources(
    graph: IntegerGraph,
    folder: Path,
    prefix: str = DEFAULT_PREFIX,
    choices: Choices = OPTIMIZE[BALANCED],
) -> Program:
    """The C sources of a graph, with the program that shows their taps."""
    program = program_of(graph, choices)
    folder.mkdir(parents=True, exist_ok=True)
    generate(program, folder, prefix)
    write_text(folder / "taps.h", taps_header(program, prefix))
    shutil.copyfile(resource("export/c/checks/host.c"), folder / "host.c")
    return program


def compiled(folder: Path, *flags: str, compiler: str = "gcc") -> Path:
    """The program, with every warning an error."""
    command = [compiler, *STANDARD, *flags, "host.c", "weights.c", "-o", "host"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "host"


def assert_exact(
    graph: IntegerGraph,
    codes: np.ndarray,
    folder: Path,
    *flags: str,
    optimize: str = BALANCED,
    choices: Choices | None = None,
    compiler: str = "gcc",
) -> Program:
    """Every boundary of every frame is that of the integer graph; gives the program."""
    program = sources(graph, folder, choices=choices or OPTIMIZE[optimize])
    binary = compiled(folder, *(flags or SANITIZED), compiler=compiler)
    (folder / "frames.bin").write_bytes(input_bytes(program, codes))
    command = [binary, "frames.bin", "taps.bin"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = tapped(program, (folder / "taps.bin").read_bytes(), len(codes))
    result = compare(graph.boundaries(), run_reference(graph, codes), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()
    return program


def assert_exact_on_core(
    graph: IntegerGraph, frames: IntArray, folder: Path, core: Core, choices: Choices
) -> Measured:
    """Every boundary on a bare core under QEMU, and what was measured there."""
    program = sources(graph, folder, choices=choices)
    found, measured = run_bare(program, folder, "network", core, frames)
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()
    return measured
