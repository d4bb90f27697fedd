"""cppcheck finds nothing in the sources of a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from c_networks import sources
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE

CHECKS = ("--std=c99", "--enable=warning,portability,performance", "--quiet", "--error-exitcode=1")


@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_cppcheck_finds_nothing(optimize: str, tmp_path: Path) -> None:
    assert shutil.which("cppcheck"), "scripts/setup installs it"
    maker = GraphMaker(5, (3, 5, 6), bits=8).conv(6, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(6).threshold(bits=8, base=-127).add(first).threshold(bits=2)
    maker.conv(7, stride=(2, 2)).threshold(bits=2).flatten().dense(4)
    sources(maker.graph(), tmp_path, choices=OPTIMIZE[optimize])
    for options in ((), *([("-DQD_WIDE=0",)] if optimize == BALANCED else [])):
        command = ["cppcheck", *CHECKS, *options, "-UQD_TAP", "network.c", "weights.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
