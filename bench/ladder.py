"""The ladder for every kind of network: the same frames through every level, counted.

    python bench/ladder.py [--only PATTERN ...] [--board-folding]

Each network of ladder_networks.py gets random weights; its batch norm and scales are calibrated so
that every layer's codes are spread. It is exported and taken down to RTL at a folding chosen for
simulation speed, or with --board-folding as fast as fits the board. Writes
bench/results/ladder.json with the rows `int_mismatches`, `dataflow_mismatches`, `rtl_mismatches`,
`rtl_frames`, `torch_mismatches` and `qonnx_mismatches` per network, `torch_origins` and
`qonnx_origins` (mismatches that no earlier one explains), and how far its codes are spread:
`classes_seen`, `fewest_codes` (different codes of the boundary that has the fewest) and
`largest_code_share`. Rows of networks left out with --only are kept. Exits with 1 when a rung
fails, a network cannot be built or its codes have collapsed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder_networks import LADDER, Entry
from record import figure, rounded, save, saved
from spread import Spread, spread_of_build

from qdeploy.build_folder import PERFORMANCE_FILE

if TYPE_CHECKING:
    from qdeploy.build.options import Options
    from qdeploy.build.source import NetworkSource

ROOT = Path(__file__).resolve().parent.parent
BOARD = " (board's folding)"
FLOAT = ("torch", "qonnx")
EXACT = ("int", "dataflow", "rtl")
COUNTED = (*FLOAT, *EXACT)


@dataclass(frozen=True)
class Climb:
    """Result of one network: records of the rungs by name, spread of codes, measured cycles."""

    rungs: dict[str, Any]
    spread: Spread
    cycles_per_frame: int

    def failures(self) -> list[str]:
        """What failed.

        Float rungs may round codes at an edge, as in `qdeploy verify`, and here that may change a
        class: the classes of an untrained network depend on single codes.
        """
        found = [name for name in COUNTED if not holds(self.rungs[name])]
        collapsed = self.spread.collapsed()
        return [*found, collapsed] if collapsed else found


def holds(rung: dict[str, Any]) -> bool:
    """Whether a rung passed."""
    if rung["name"] in EXACT or rung["must_be_exact"]:
        return bool(rung["frames"] and not rung["mismatches"])
    return bool(rung["frames"] and not rung["wrong"])


def source_of(entry: Entry) -> NetworkSource:
    """The network of an entry with random, calibrated weights, and its frames."""
    from qdeploy.build.source import NetworkSource
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    images = pattern_frames(network.input_shape, entry.frames, seed=1).numpy()
    return NetworkSource(entry.name, network, images, recipe.quantization.input_bits)


def options_of(entry: Entry, folder: Path, fps: float | None) -> Options:
    """How an entry is built and verified."""
    from qdeploy.build.options import Options

    return Options(
        Path(entry.recipe),
        fps=fps,
        argmax=entry.argmax,
        frames=entry.frames,
        rtl_frames=entry.rtl_frames,
        require=COUNTED,
        synthesis=False,
        cache=folder / "cache",
    )


def climb(entry: Entry, folder: Path, fps: float | None) -> Climb:
    """Build one network and compare all levels."""
    from qdeploy.build.build import build

    options, source = options_of(entry, folder, fps), source_of(entry)
    made = build(options, folder / entry.name, source=source)
    performance = json.loads((made.folder / PERFORMANCE_FILE).read_text(encoding="utf-8"))
    return Climb(
        {rung.name: rung.record() for rung in made.rungs},
        spread_of_build(made.folder, entry.argmax),
        performance["cycles_per_frame"],
    )


def rows_of(name: str, made: Climb) -> list[dict[str, Any]]:
    """The rows of one network."""
    rows = [
        figure(name, f"{rung}_mismatches", made.rungs[rung]["mismatches"], "codes")
        for rung in COUNTED
    ]
    rows += [
        figure(name, f"{rung}_origins", made.rungs[rung]["origins"], "codes") for rung in FLOAT
    ]
    rows += [
        figure(name, f"{rung}_frames", made.rungs[rung]["frames"], "frames") for rung in COUNTED
    ]
    return [
        *rows,
        figure(name, "boundaries", made.rungs["int"]["boundaries"], "tensors"),
        figure(name, "classes_seen", made.spread.classes, "classes"),
        figure(name, "fewest_codes", made.spread.fewest_codes, "codes"),
        figure(name, "largest_code_share", rounded(100 * made.spread.code_share), "%"),
        figure(name, "cycles_per_frame", made.cycles_per_frame, "cycles"),
    ]


def main() -> None:
    """Climb the ladder with every selected network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of network names")
    parser.add_argument("--board-folding", action="store_true", help="as fast as fits the board")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for entry in LADDER:
            if any(fnmatch.fnmatch(entry.name, pattern) for pattern in arguments.only):
                failed += one(entry, Path(folder), board=arguments.board_folding)
    if failed:
        sys.exit("failed:\n" + "\n".join(failed))


def one(entry: Entry, folder: Path, *, board: bool) -> list[str]:
    """Climb with one network and store its rows; returns what failed."""
    from qdeploy.errors import QDeployError

    name = entry.name + BOARD if board else entry.name
    try:
        made = climb(entry, folder, None if board else entry.fps)
    except QDeployError as error:
        print(f"{name}: {error}", flush=True)
        return [f"{name}: {error.what}"]
    others = [row for row in saved("ladder") if row["network"] != name]
    save("ladder", [*others, *rows_of(name, made)])
    found = ", ".join(f"{rung} {made.rungs[rung]['mismatches']}" for rung in COUNTED)
    print(f"{name}: mismatches {found}; {made.spread.classes} classes", flush=True)
    return [f"{name}: {what}" for what in made.failures()]


if __name__ == "__main__":
    main()
