"""Measure layers of networks in C under QEMU and fit their instructions: hw/costs/c_kernels.json.

    python scripts/measure_c_costs.py [--cores cortex-m4,…] [--kernels pairs:fours] [--seeds 6]
                                       [--fit]

Each sample is a small network with layers of drawn shapes and widths, compiled for one kernel and
run on the core; every boundary is compared with the integer graph before its counts are kept. Cores
and kernels that are not named keep their rows; with --fit nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))

import numpy as np
import numpy.typing as npt
from random_graphs import GraphMaker
from scipy.optimize import nnls

from qdeploy.artifacts import write_json
from qdeploy.codegen.c.choices import Choices
from qdeploy.codegen.c.cores import CORES
from qdeploy.codegen.c.generate import generate
from qdeploy.codegen.c.instructions import TABLE, counts_of, kernel_name
from qdeploy.codegen.c.program import program_of
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph, Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.verify.compare import compare
from qdeploy.verify.rungs.c_bare import run_bare

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ("cortex-m0plus", "cortex-m4", "rv32imc")
# Kernels that a sample is compiled for, by name.
KERNELS = {
    "pairs": Choices(units=("PAIRS",)),
    "pairs, trits": Choices(units=("PAIRS",), byte_price=1e9),
    "fours": Choices(units=("FOURS",)),
    "fours, trits": Choices(units=("FOURS",), byte_price=1e9),
    "bytes": Choices(units=("BYTES",)),
    "pairs, lines": Choices(units=("PAIRS",)),
    "fours, lines": Choices(units=("FOURS",)),
    "bytes, lines": Choices(units=("BYTES",)),
    "window": Choices(staged=False),
    "dense": Choices(copied=0),
    "dense, shared": Choices(copied=1 << 30),
    "dense, trits": Choices(byte_price=1e9),
}
FOLDS, LAYERS = 5, 5


def sample(seed: int, kernel: str) -> IntegerGraph:
    """A network whose layers have that kernel, where it fits them."""
    random = np.random.default_rng(seed)

    def draw(*values: int) -> int:
        return int(random.choice(values))

    bits = draw(1, 2, 3, 4)
    if kernel.startswith("dense"):
        maker = GraphMaker(seed, (draw(32, 80, 136), 1, 1), bits=bits).flatten()
        for _ in range(LAYERS):
            weight_bits = 2 if "trits" in kernel else draw(2, 2, 3, 4, 8)
            maker.dense(draw(8, 13, 40, 64), weight_bits=weight_bits).threshold(draw(2, 2, 4))
        return maker.dense(4).graph(f"sample{seed}")
    shape = draw(2, 4, 7, 12), draw(5, 9, 12), draw(7, 8, 14)
    maker = GraphMaker(seed, shape, bits=bits)
    for layer in range(LAYERS):
        side, stride = draw(3, 3, 1), draw(1, 1, 2)
        if kernel.startswith("pairs"):
            side, stride = 3, 1
        if min(maker.now.shape[1:]) < 4:
            stride = 1
        weight_bits = 2 if "trits" in kernel else draw(2, 2, 3, 4)
        if kernel.startswith(("bytes", "window")):
            weight_bits = draw(2, 4, 8)
        channels, pad = draw(4, 6, 8, 16), side // 2
        maker.conv(channels, (side, side), (stride, stride), (pad,) * 4, weight_bits=weight_bits)
        if "lines" in kernel:
            quantize_evenly(maker, 4 if layer < LAYERS - 1 else 8)
        else:
            maker.threshold(draw(1, 2, 2, 4))
    return maker.flatten().dense(3).graph(f"sample{seed}")


def quantize_evenly(maker: GraphMaker, bits: int) -> None:
    """Thresholds at equal distances, alike for all channels: a line, as trained networks have."""
    source = maker.now
    maker.threshold(bits)
    node, levels = maker.nodes[-1], 2**bits - 1
    assert isinstance(node, Threshold)
    row = source.lo + 1 + np.arange(levels, dtype=np.int64) * (source.hi - source.lo) // levels
    table = np.repeat(row[None], source.shape[0], axis=0)
    maker.nodes[-1] = replace(node, thresholds=table)


def measured(seed: int, kernel: str, core: str) -> list[dict[str, Any]]:
    """Rows of a sample: counts of each layer and its instructions."""
    graph = sample(seed, kernel)
    source = graph.tensors[graph.input]
    frames = np.random.default_rng(seed).integers(source.lo, source.hi + 1, (1, *source.shape))
    program = program_of(graph, KERNELS[kernel])
    with tempfile.TemporaryDirectory() as folder:
        generate(program, Path(folder))
        found, figures = run_bare(program, Path(folder), "network", CORES[core], frames)
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    if result.first is not None or figures.steps is None:
        sys.exit(f"sample {seed}, {kernel}, {core}: not exact")
    return [
        {
            "sample": seed,
            "compiled": kernel,
            "kernel": kernel_name(step),
            "counts": counts_of(step, core),
            "instructions": figures.steps[number],
        }
        for number, step in enumerate(program.steps)
        if isinstance(step.node, Conv | Dense)
    ]


def fitted(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Nonnegative coefficients with the least squared relative error, and that error."""
    names = sorted({name for row in rows for name in row["counts"]})
    X = np.array([[row["counts"].get(name, 0.0) for name in names] for row in rows])
    y = np.array([row["instructions"] for row in rows], dtype=float)

    def solve(X: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = nnls(X / y[:, None], np.ones(len(y)))[0]
        return found

    whole = solve(X, y)
    errors, unseen = np.abs(X @ whole / y - 1), []
    for part in range(FOLDS):
        out = np.arange(len(y)) % FOLDS == part
        if out.any() and not out.all():
            unseen += list(np.abs(X[out] @ solve(X[~out], y[~out]) / y[out] - 1))
    return {
        "coefficients": {
            name: round(float(c), 3) for name, c in zip(names, whole, strict=True) if c > 0
        },
        "fit": {
            "rows": len(rows),
            "mean": round(float(errors.mean()), 4),
            "largest": round(float(errors.max()), 4),
            "unseen_mean": round(float(np.mean(unseen)), 4) if unseen else None,
        },
    }


def main() -> None:
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", default=",".join(MEASURED))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--kernels", default=":".join(KERNELS), help="names, by colons")
    parser.add_argument("--fit", action="store_true", help="fit the rows that are there")
    arguments = parser.parse_args()
    path = ROOT / TABLE
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    for core in () if arguments.fit else arguments.cores.split(","):
        kernels = arguments.kernels.split(":")
        rows[core] = [row for row in rows.get(core, []) if row["compiled"] not in kernels]
        for kernel in kernels:
            for seed in range(arguments.seeds):
                rows[core] += measured(seed, kernel, core)
            print(f"{core}, {kernel}: {len(rows[core])} rows", flush=True)
    cores = {}
    for core, mine in rows.items():
        kernels = sorted({row["kernel"] for row in mine})
        cores[core] = {
            kernel: fitted([row for row in mine if row["kernel"] == kernel]) for kernel in kernels
        }
        for kernel, found in cores[core].items():
            print(core, kernel, found["fit"], found["coefficients"], flush=True)
    write_json(path, {"command": "python scripts/measure_c_costs.py", "cores": cores, "rows": rows})


if __name__ == "__main__":
    main()
