"""Paths with characters that mean something to Verilator, make, Yosys or a shell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import toy_core

from qdeploy.sim.design import simulate_design

ODD = "a b;c#d:e$(touch x)f\ng'h\"i`j\\k*l?m%n&o|p!q~r{s}t[u]$HOME é"


def test_a_design_in_such_a_folder_is_built_in_another_and_simulated(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / ODD / "rtl")
    simulator = simulate_design(tmp_path / ODD / "rtl", design, tmp_path / f"{ODD} cache")
    raw = toy_core.frames(4)
    result = simulator.run(raw.astype(np.int64), stall_in=0.3, stall_out=0.3, seed=1)
    assert np.array_equal(result.outputs.reshape(4, -1), toy_core.expected(raw))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ODD, f"{ODD} cache"])
