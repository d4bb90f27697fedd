"""The ladder for every kind of network: the same frames through every level, counted.

    python bench/ladder.py [--only PATTERN] [--board-folding]

Each network of ladder_networks.py gets random weights; its batch norm and scales are calibrated so
that every layer's codes are spread. It is exported and taken down to RTL at a folding chosen for
simulation speed, or with --board-folding as fast as the board holds. Writes
bench/results/ladder.json with the rows `int_mismatches`, `dataflow_mismatches`, `rtl_mismatches`,
`rtl_frames`, `torch_mismatches` and `qonnx_mismatches` a network; rows of networks left out with
--only are kept. Ends with 1 when a
rung does not hold.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ladder_networks import LADDER, Entry
from record import RESULTS, figure, save

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ("torch", "qonnx", "int", "dataflow", "rtl")


def climb(entry: Entry, folder: Path, fps: float | None) -> dict[str, Any]:
    """Build one network; the records of its rungs by name."""
    from qdeploy.networks.calibrated import calibrated_random, random_frames
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.targets.build import build
    from qdeploy.targets.options import Options
    from qdeploy.targets.source import NetworkSource

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    images = random_frames(network.input_shape, entry.frames, seed=1).numpy()
    source = NetworkSource(entry.name, network, images, recipe.quantization.input_bits)
    options = Options(
        Path(entry.recipe),
        fps=fps,
        argmax=entry.argmax,
        frames=entry.frames,
        rtl_frames=entry.rtl_frames,
        synthesis=False,
        cache=folder / "cache",
    )
    made = build(options, folder / entry.name, source=source)
    return {rung.name: rung.record() for rung in made.rungs}


def rows_of(entry: Entry, rungs: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one network."""
    rows = [
        figure(entry.name, f"{name}_mismatches", rungs[name]["mismatches"], "codes")
        for name in COUNTED
    ]
    rows += [
        figure(entry.name, f"{name}_frames", rungs[name]["frames"], "frames") for name in COUNTED
    ]
    rows.append(figure(entry.name, "boundaries", rungs["int"]["boundaries"], "tensors"))
    return rows


def kept(done: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Rows of an earlier run whose networks are not in this one."""
    path = RESULTS / "ladder.json"
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if not done(row["network"])]


def main() -> None:
    """Climb the ladder with every network asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of network names")
    parser.add_argument("--board-folding", action="store_true", help="as fast as the board holds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [entry for entry in LADDER if fnmatch.fnmatch(entry.name, arguments.only)]
    failed, suffix = [], " (board's folding)" if arguments.board_folding else ""
    with tempfile.TemporaryDirectory() as folder:
        for entry in chosen:
            rungs = climb(entry, Path(folder), None if arguments.board_folding else entry.fps)
            named = Entry(entry.name + suffix, entry.recipe)
            names = {named.name}
            save("ladder", [*kept(names.__contains__), *rows_of(named, rungs)])
            failed += [f"{named.name}: {name}" for name in COUNTED if not rungs[name]["passed"]]
            found = ", ".join(f"{name} {rungs[name]['mismatches']}" for name in COUNTED)
            print(f"{named.name}: mismatches {found}", flush=True)
    if failed:
        sys.exit("not exact: " + "; ".join(failed))


if __name__ == "__main__":
    main()
