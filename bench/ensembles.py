"""Ensembles of small networks against one wider network of about as many LUTs.

    python bench/ensembles.py --runs FOLDER [--members 2 3] [--seeds 0 1 2]

The recipe is the quickstart's, on handwritten digits. For each seed an ensemble has members of its
own; the wider network has the seed itself. Of the first seed both are exported for a PYNQ-Z2 at one
frame rate, verified on every rung and synthesized. Finished runs in the folder are used again.
Writes bench/results/ensembles.json with rows `test_accuracy` (means over the seeds, with the
figures of each; `members` are those of the networks that vote), `lut`, `bram36` and `fps`; exits
with 1 when a rung fails.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import row, save, saved

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.ensemble.folder import load_ensemble
from qdeploy.ensemble.make import make_ensemble
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.run import recipe_digest
from qdeploy.training.train import train

RECIPE = "models/quickstart/digits_fcdnn_w2a2.yaml"
# Images to choose epochs by would be others for each seed: all are trained on, the last epoch is
# kept, and the test set chooses nothing.
CHANGES = ("data.validation=0", "network.depth=2")
BOARD, FPS = "pynq-z2", 100_000.0
FRAMES = 100
WIDTH = 24
# Members -> the width of the one network that takes about as many LUTs.
WIDER = {2: 64, 3: 88}


def trained(runs: Path, width: int, seed: int) -> Path:
    """The run of a network, trained where it is not."""
    changes = [*CHANGES, f"network.width={width}", f"seed={seed}"]
    recipe = load_recipe(resource(RECIPE), changes)
    folder = runs / f"width{width}-seed{seed}-{recipe_digest(recipe)[:8]}"
    return train(recipe, folder, resume=True)


def voted(runs: Path, width: int, members: int, seed: int) -> Path:
    """The ensemble of `members` networks with seeds of their own."""
    folders = [trained(runs, width, 100 + members * seed + one) for one in range(members)]
    out = runs / f"width{width}-x{members}-seed{seed}"
    return make_ensemble(folders, out, force=True).folder


def built(source: Path, cache: Path) -> dict[str, float]:
    """LUTs, BRAMs and frames per second of the verified build.

    Raises:
        SystemExit: a rung fails.
    """
    out = source.parent / f"build-{source.name}"
    options = Options(
        source, board=BOARD, fps=FPS, frames=FRAMES, rtl_frames=10, require=("rtl",), cache=cache
    )
    made = build(options, out, force=True)
    if made.failure is not None:
        raise SystemExit(made.failure.render())
    found = json.loads((out / "resources.json").read_text())
    speed = json.loads((out / "performance.json").read_text())
    return {"lut": found["lut"], "bram36": found["bram36"], "fps": speed["fps"]}


def accuracy(folder: Path) -> float:
    """Test accuracy in percent."""
    summary = json.loads((folder / "summary.json").read_text())
    return round(100 * summary["accuracy"], 2)


def measure(runs: Path, members: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of one size."""
    width = WIDTH
    one = WIDER[members]
    name, peer = f"digits, {members} x width {width}", f"one network of width {one}"
    ensembles = [voted(runs, width, members, seed) for seed in seeds]
    peers = [trained(runs, one, seed) for seed in seeds]
    found, others = [accuracy(f) for f in ensembles], [accuracy(f) for f in peers]
    alone = [
        [round(100 * item["accuracy"], 2) for item in load_ensemble(folder).summary["members"]]
        for folder in ensembles
    ]
    means = statistics.mean(found), statistics.mean(others)
    spread = {"seeds": list(seeds), "members": alone, "accuracies": found, "peers": others}
    rows = [
        {
            **row(name, "test_accuracy", means[0], "%", peer, means[1]),
            **spread,
            "value": round(means[0], 2),
            "peer_value": round(means[1], 2),
            "members_mean": round(statistics.mean(one for few in alone for one in few), 2),
        }
    ]
    ours, theirs = (built(folder, runs / "cache") for folder in (ensembles[0], peers[0]))
    units = {"lut": "LUT", "bram36": "BRAM36", "fps": "frames/s"}
    rows += [
        row(name, key, ours[key], unit, peer, theirs[key])
        for key, unit in units.items()
        if theirs[key]
    ]
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of runs and builds")
    parser.add_argument("--members", type=int, nargs="+", choices=list(WIDER), default=[2, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for members in given.members:
        rows = measure(given.runs.resolve(), members, given.seeds)
        for one in rows:
            print(json.dumps(one), flush=True)
        names = {one["network"] for one in rows}
        kept = [one for one in saved("ensembles") if one["network"] not in names]
        save("ensembles", [*kept, *rows])


if __name__ == "__main__":
    sys.exit(main())
