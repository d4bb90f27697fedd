"""Frame rates and resources of whole designs on a PYNQ-Z2 (xc7z020) at 100 MHz.

    python bench/hardware.py [--only PATTERN] [--cache FOLDER]

Each network has random, calibrated weights; it is folded as fast as fits, verified on every rung
and synthesized. Cycles come from RTL simulation of the stitched design and from the DMA's
bandwidth, resources from Yosys on the whole design. Writes bench/results/hardware.json with the
rows `fps`, `lut`, `bram36`, `dsp`, `latency_cycles`, `lanes_share` (useful products over those of
as many two-bit lanes as fit in 85 % of the LUTs, 3,900), `lut in …` (where the LUTs go), `seconds`
and `memory` (from the network to the verified and synthesized build; no seconds where `--cache`
held something already), `simulation` (cycles per second of the whole design in Verilator, with
every boundary tapped); rows of networks left out with --only are kept. The peers of `fps` are
figures that others published, for other networks and partly for other chips: results_notes.py has
their sources. Exits with 1 when a rung fails or a design does not fit.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import resource
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from record import figure, row, save, saved

ROOT = Path(__file__).resolve().parent.parent
BOARD = "pynq-z2"
RESOURCES = ("lut", "ff", "bram36", "dsp")


@dataclass(frozen=True)
class Entry:
    """A network and its recipe below models/.

    Args:
        peer, peer_fps: what others published for a network for the same kind of task, with its
            board: not always a comparable chip; Tensil's is the far larger one of a ZCU104.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    peer: str = ""
    peer_fps: float = 0.0


ENTRIES = (
    Entry(
        "mlp-w2a2",
        "quickstart/fashion_mlp_w2a2.yaml",
        peer="FINN TFC-W1A1 on a PYNQ board",
        peer_fps=958_413,
    ),
    Entry(
        "resnet8-w2a2",
        "mlperf_tiny/resnet8_w2a2.yaml",
        peer="fpgaConvNet INT9 ResNet-8 on a ZedBoard at 143 MHz",
        peer_fps=2_431,
    ),
    # Small enough that one pixel per cycle would be the limit.
    Entry("resnet8-x0.25-w2a2", "mlperf_tiny/resnet8_w2a2.yaml", ("network.width=4",)),
    Entry(
        "resnet20-w2a2",
        "boo2020/resnet20_width16_w2a2.yaml",
        peer="Tensil 16-bit ResNet-20 on a ZCU104",
        peer_fps=294,
    ),
    Entry(
        "mobilenetv2-w4a4",
        "boo2020/mobilenetv2_x0.5_w2a2.yaml",
        ("quantization.weight_bits=4", "quantization.activation_bits=4"),
    ),
)


def measure(entry: Entry, folder: Path, cache: Path) -> tuple[list[dict[str, Any]], bool]:
    """Build one network; its rows, and whether every rung held."""
    from qdeploy.build.build import build
    from qdeploy.build.options import Options
    from qdeploy.build.source import NetworkSource
    from qdeploy.build_folder import RTL_FOLDER, SIM_FOLDER
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.report.design_report import read_report

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe)
    images = pattern_frames(network.input_shape, 20, seed=1).numpy()
    source = NetworkSource(entry.name, network, images, recipe.quantization.input_bits)
    options = Options(Path(entry.recipe), board=BOARD, frames=20, rtl_frames=20, cache=cache)
    fresh = not cache.exists()
    start = time.monotonic()
    made = build(options, folder / entry.name, source=source)
    seconds = time.monotonic() - start
    found = json.loads((made.folder / "performance.json").read_text(encoding="utf-8"))
    resources = json.loads((made.folder / "resources.json").read_text(encoding="utf-8"))
    report = read_report(made.folder)
    shape = tuple(int(size) for size in network.input_shape)
    simulated = _cycles_a_second(made.folder / RTL_FOLDER, cache / SIM_FOLDER, shape)
    arriving = _cycles_to_bring(made.folder / RTL_FOLDER)
    cycles = max(found["cycles_per_frame"], arriving)
    fps = found["clock_mhz"] * 1e6 / cycles
    first = (
        row(entry.name, "fps", fps, "frames/s", entry.peer, entry.peer_fps)
        if entry.peer
        else figure(entry.name, "fps", round(fps), "frames/s")
    )
    rows = [
        first,
        figure(entry.name, "cycles_per_frame", cycles, "cycles"),
        figure(entry.name, "latency_cycles", found["latency_cycles"], "cycles"),
        *(figure(entry.name, kind, resources[kind], kind) for kind in RESOURCES),
        figure(entry.name, "lanes_share", round(report.lane_share or 0.0, 3), "of the limit"),
        *(figure(entry.name, f"lut in {part}", n, "lut") for part, n in report.parts.items()),
        *([figure(entry.name, "seconds", round(seconds), "s")] if fresh else []),
        figure(entry.name, "memory", round(_gibibytes(), 1), "GiB"),
        figure(entry.name, "simulation", round(simulated / 1e6, 3), "Mcycles/s"),
    ]
    for rung in made.rungs:
        if rung.skipped is None:
            rows.append(figure(entry.name, f"{rung.name}_mismatches", rung.mismatches, "codes"))
    return rows, made.failure is None and bool(resources["fits"])


def _cycles_a_second(folder: Path, cache: Path, shape: tuple[int, ...]) -> float:
    """Speed of the design's model, tapped at every boundary, frames of `shape` back to back."""
    import numpy as np

    from qdeploy.design.manifest import Design
    from qdeploy.sim.design import simulate_design

    design = Design.load(folder)
    simulator = simulate_design(folder, design, cache)
    codes = np.random.default_rng(2).integers(0, 1 << design.input.bits, (20, *shape))
    start = time.monotonic()
    cycles = simulator.run(codes).cycles
    return float(cycles / (time.monotonic() - start))


def _cycles_to_bring(folder: Path) -> int:
    """Cycles in which the DMA delivers a frame: its beats are powers of two of bytes."""
    from qdeploy.design.manifest import Design
    from qdeploy.devices.boards import load_board
    from qdeploy.targets.pynq.shell import dma_bytes

    source = Design.load(folder).input
    return ceil(source.beats * dma_bytes(source) * 8 / load_board(BOARD).dma_bits)


def _gibibytes() -> float:
    """Peak memory of this process or of one it started."""
    own, others = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, others) / (1 << 20)


def main() -> None:
    """Measure the selected networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of network names")
    parser.add_argument("--cache", type=Path, help="folder of results kept by content")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entry in ENTRIES:
            if not fnmatch.fnmatch(entry.name, arguments.only):
                continue
            # A separate cache for each: entries of another network would make its build quicker.
            cache = arguments.cache or folder / f"{entry.name}-cache"
            rows, held = measure(entry, folder, cache)
            others = [one for one in saved("hardware") if one["network"] != entry.name]
            save("hardware", [*others, *rows])
            figures = ", ".join(f"{one['metric']} {one['value']:,}" for one in rows)
            print(f"{entry.name}: {figures}", flush=True)
            failed += [] if held else [entry.name]
    if failed:
        sys.exit("not exact, or too large: " + ", ".join(failed))


if __name__ == "__main__":
    main()
