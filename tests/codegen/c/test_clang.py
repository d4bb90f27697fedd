"""Networks in C as clang sees them: its warnings as errors, and its sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_networks import SANITIZED, assert_exact
from processor_marks import AVX2
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE


def sanitizes() -> bool:
    """Whether clang is here, with the libraries of its sanitizers."""
    if shutil.which("clang") is None:
        return False
    command = ["clang", *SANITIZED, "-x", "c", "-o", "/dev/null", "-"]
    program = b"int main(void) { return 0; }"
    return subprocess.run(command, input=program, capture_output=True, check=False).returncode == 0


needs_clang = pytest.mark.skipif(
    not sanitizes(), reason="apt-get install clang libclang-rt-dev (or of clang's own version)"
)
# Sums of 64 bits, of 32, and what all processors of today have.
NARROW, VECTORS = ("-DQD_WIDE=0",), ("-mavx2",)


@needs_clang
@pytest.mark.parametrize(
    ("optimize", "build"),
    [
        *((one, ()) for one in OPTIMIZE),
        (BALANCED, NARROW),
        pytest.param(BALANCED, VECTORS, marks=AVX2),
    ],
)
def test_clang_finds_nothing_and_every_code_is_right(
    optimize: str, build: tuple[str, ...], tmp_path: Path
) -> None:
    maker = GraphMaker(5, (3, 9, 10), bits=8).conv(6, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(6).threshold(bits=8, base=-127).add(first).threshold(bits=2)
    maker.conv(7, stride=(2, 2)).threshold(bits=2).conv(9).threshold(bits=9).conv(4).threshold()
    graph, frames = maker.flatten().dense(4).graph(), maker.frames(6)
    source = graph.tensors[graph.input]
    frames = np.concatenate([frames, np.full_like(frames[:1], source.hi)])
    flags = (*SANITIZED, *build)
    assert_exact(graph, frames, tmp_path, *flags, optimize=optimize, compiler="clang")
