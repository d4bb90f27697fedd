"""What a matrix unit costs in LUTs whose weights are powers of two, or sums of them (APoT).

    python bench/weight_levels.py [--store FOLDER] [--activations 2]

A layer of 144 inputs and 16 outputs with thresholds, of random normal weights with the steps of
least squared error: one unit that reads its weights from a memory, 48 products per cycle, and one
of 48 inputs that has all weights in its logic. Synthesized by Yosys for Series 7, without DSP
blocks. The peer has as many uniform levels. Writes bench/results/weight_levels.json: `lut`, and
`memory` (bits of all weights, as they are stored).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import figure, rounded, save, saved

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from cost_samples_streams import Sample  # noqa: E402
from measure_costs import measure  # noqa: E402

from qdeploy.dataflow.backends.mvau import MAX_PLANE_BITS  # noqa: E402
from qdeploy.dataflow.backends.unrolled import unrolled_block  # noqa: E402
from qdeploy.dataflow.rtl.memories import threshold_files, weight_lines  # noqa: E402
from qdeploy.dataflow.rtl.products import READ_TABLES, DotKind  # noqa: E402
from qdeploy.dataflow.rtl.unit import Block  # noqa: E402
from qdeploy.devices.families import find_family  # noqa: E402
from qdeploy.quant.step_size import least_error_step  # noqa: E402
from qdeploy.quant.weight_levels import grid_bits, magnitudes, nearest  # noqa: E402
from qdeploy.synth.yosys import Yosys  # noqa: E402

ROWS, COLUMNS, UNROLLED = 16, 144, 48
SIMD, PE = 24, 2
PAIRS = [(3, "power_of_two"), (4, "power_of_two"), (4, "apot"), (5, "apot")]
ACTIVATIONS = (2, 4)


def weights(kind: str, bits: int) -> tuple[np.ndarray, int]:
    """Weights (ROWS, COLUMNS) of these levels, and the width of their grid."""
    drawn = torch.randn(ROWS * COLUMNS, generator=torch.Generator().manual_seed(0)).double()
    if kind == "uniform":
        top = (1 << (bits - 1)) - 1
        codes = (drawn / least_error_step(drawn[None], -top, top)).round().clamp(-top, top)
        grid = bits
    else:
        levels = torch.tensor(magnitudes(kind, bits), dtype=torch.float64)
        top, grid = int(levels[-1]), grid_bits(kind, bits)
        step = least_error_step(drawn[None], -top, top, lambda t: nearest(t, levels))
        codes = nearest(drawn / step, levels)
    return codes.reshape(ROWS, COLUMNS).numpy().astype(np.int64), grid


def thresholds(matrix: np.ndarray, bits: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Parameters and memory files of thresholds that split the sums evenly."""
    levels = (1 << bits) - 1
    reach = int(np.abs(matrix).sum(axis=1).max()) * levels
    acc = reach.bit_length() + 1
    spread = np.sqrt((matrix**2).sum(axis=1)) * levels / 2
    table = np.sort(np.rint(np.linspace(-1, 1, levels) * spread[:, None]), axis=1).astype(np.int64)
    parameters = {"ACC": acc, "NT": levels, "OB": bits, "BASE": 0, "TFILE": "t.hex"}
    return parameters, {"table": table}


def stored(kind: str, bits: int, activation: int) -> Sample:
    """A unit that reads its weights from a memory."""
    matrix, grid = weights(kind, bits)
    stage, made = thresholds(matrix, activation)
    planes = max(grid, activation) <= MAX_PLANE_BITS
    parameters = {"MW": COLUMNS, "MH": ROWS, "PE": PE, "SIMD": SIMD, "WB": grid, "AB": activation}
    parameters |= {"ASIGNED": 0, "DOT": DotKind.PLANES if planes else DotKind.MULTIPLIERS}
    parameters |= {"USE_DSP": 0, "READ": READ_TABLES, "WFILE": "w.hex", "WRAM_STYLE": "registers"}
    parameters |= {"WREST": 0, "WRESTFILE": "", **stage}
    memories = {"w.hex": weight_lines(matrix, PE, SIMD, grid)}
    memories |= threshold_files("t", made["table"], PE, stage["ACC"])
    block = Block("qd_mvu", parameters, (SIMD * activation,), (PE * activation,))
    return Sample(block, memories)


def in_logic(kind: str, bits: int, activation: int) -> Sample:
    """A unit that has its weights in its logic."""
    matrix = weights(kind, bits)[0][:, :UNROLLED]
    stage, made = thresholds(matrix, activation)
    block = unrolled_block(matrix, activation, False, stage, activation)
    return Sample(block, threshold_files("t", made["table"], ROWS, stage["ACC"]))


def compared(yosys: Yosys, activation: int) -> Iterator[dict[str, Any]]:
    """The rows of LUTs for activations of a width, one unit after the other."""
    for title, make in (("weights in memory", stored), ("weights in logic", in_logic)):
        found: dict[tuple[str, int], int] = {}
        for bits, kind in PAIRS:
            for one in ("uniform", kind):
                if (one, bits) not in found:
                    (made,) = measure([make(one, bits, activation)], yosys)
                    found[one, bits] = made["lut"]
            yield {
                **figure(
                    f"A{activation}, {title}: W{bits} {kind}", "lut", found[kind, bits], "lut"
                ),
                "peer": f"W{bits} uniform",
                "peer_value": found["uniform", bits],
                "ratio": rounded(found[kind, bits] / found["uniform", bits]),
            }


def sizes() -> Iterator[dict[str, Any]]:
    """The rows of bits in memory."""
    for bits, kind in PAIRS:
        for one, width in (("uniform", bits), (kind, grid_bits(kind, bits))):
            yield figure(f"W{bits} {one}", "memory", ROWS * COLUMNS * width, "bits")


def main() -> None:
    """Synthesize, print each row, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    store = ROOT / "build/.cache/costs"
    parser.add_argument("--store", type=Path, default=store, help="folder of stored results")
    parser.add_argument("--activations", type=int, nargs="+", default=list(ACTIVATIONS))
    given = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {one["network"]: one for one in sizes()}
    yosys = Yosys(find_family("xc7"), given.store)
    for activation in given.activations:
        for one in compared(yosys, activation):
            print(f"{one['network']}: {one['value']} LUT, peer {one['peer_value']}", flush=True)
            rows[one["network"]] = one
    kept = [one for one in saved("weight_levels") if one["network"] not in rows]
    order = sorted([*rows.values(), *kept], key=lambda one: (one["metric"], one["network"]))
    save("weight_levels", order)


if __name__ == "__main__":
    main()
