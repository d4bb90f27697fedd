"""Networks in C on processors whose first byte is the highest one, under QEMU's user mode."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from c_networks import compiled, sources
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import OPTIMIZE
from qdeploy.codegen.c.taps import input_bytes, tapped
from qdeploy.ir.reference import run_reference
from qdeploy.verify.compare import compare

# QEMU's program and Debian's package for it and for the compiler: sums of 32 bits, and of 64.
PROCESSORS = {"powerpc": "qemu-ppc", "s390x": "qemu-s390x"}


def needs(name: str) -> pytest.MarkDecorator:
    programs = (f"{name}-linux-gnu-gcc", PROCESSORS[name])
    packages = f"gcc-{name}-linux-gnu libc6-dev-{name}-cross qemu-user"
    absent = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{absent}: apt-get install {packages}")


@pytest.mark.parametrize("optimize", OPTIMIZE)
@pytest.mark.parametrize("name", [pytest.param(one, marks=needs(one)) for one in PROCESSORS])
def test_the_highest_byte_may_come_first(name: str, optimize: str, tmp_path: Path) -> None:
    """Words of pixels and of codes, single codes, codes of 1, 2 and 4 bytes, packed codes."""
    maker = GraphMaker(5, (3, 9, 10), bits=12).conv(6, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(6).threshold(bits=8, base=-127).add(first).threshold(bits=2)
    maker.conv(7, stride=(2, 2)).threshold(bits=2).conv(9).threshold(bits=9).conv(4).threshold()
    graph, frames = maker.flatten().dense(4).graph(), maker.frames(3)
    program = sources(graph, tmp_path, choices=OPTIMIZE[optimize])
    binary = compiled(tmp_path, "-O2", "-static", compiler=f"{name}-linux-gnu-gcc")
    (tmp_path / "frames.bin").write_bytes(input_bytes(program, frames, ">"))
    command = [PROCESSORS[name], str(binary), "frames.bin", "taps.bin"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = tapped(program, (tmp_path / "taps.bin").read_bytes(), len(frames), order=">")
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()
