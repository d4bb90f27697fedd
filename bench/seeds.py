"""Ten seeds of a small network at once against one after another, on one core.

    python bench/seeds.py [--seeds 10] [--network digits]

Writes bench/results/seeds.json. Seconds are processor time of this process, with one thread.

- `digits`: the quickstart's recipe without a validation split, whole trainings (float, retraining
  with L_Lip, fine-tuning with cyclical rates): seconds, and test accuracies of both sets of runs.
- `128-3`, `128-8-residual`: networks of the study `synthetic` at the recipe's batch of 256. Seconds
  of one epoch of all seeds, with the test set, float and retraining, each the mean over the epochs
  that were run; and of what is left for each run at its end. `whole`: 200 and 100 of these epochs
  and the rest, added up, not run. A few of the seeds are trained one by one, and their seconds
  multiplied.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from record import row, save, saved

from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.shipped import recipe_file
from qdeploy.training.group import phase as group_phase
from qdeploy.training.group.train import train_group
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.train import train

PEER = "one after another"
DIGITS = "digits, 64 units, 3 hidden layers"
# Network of the study -> its recipe, seeds that are trained one by one.
PLANE = {"128-3": ("fcdnn128-3_w2a2", 3), "128-8-residual": ("fcdnn128-8_residual_w2a2", 2)}
EPOCHS = {"float": 200, "retrain": 100}
RUN = 3  # epochs of each phase that are run


def recipes(name: str, seeds: int, *changes: str) -> list[Recipe]:
    """One for each seed."""
    path = recipe_file(Path(name))
    return [load_recipe(path, [f"seed={seed}", *changes]) for seed in range(seeds)]


def alone(given: list[Recipe], folder: Path) -> float:
    """Seconds of trainings one after another."""
    began = time.process_time()
    for one in given:
        train(one, folder / f"alone{one.seed}")
    return time.process_time() - began


def together(given: list[Recipe], folder: Path) -> tuple[float, float]:
    """Seconds of the group, and of all of it.

    Raises:
        SystemExit: they were not trained together.
    """
    runs = {folder / f"group{one.seed}": one for one in given}
    began = time.process_time()
    why = train_group(runs)
    if why is not None:
        raise SystemExit(f"not trained together: {why}")
    grouped = time.process_time() - began
    for run, one in runs.items():
        train(one, run, resume=True)
    return grouped, time.process_time() - began


def accuracies(folder: Path, kind: str, seeds: int) -> list[float]:
    """Test accuracies in percent."""
    found = [json.loads((folder / f"{kind}{s}/summary.json").read_text()) for s in range(seeds)]
    return [round(100 * one["accuracy"], 2) for one in found]


def digits(seeds: int, folder: Path) -> list[dict[str, Any]]:
    """Rows of whole trainings."""
    given = recipes("quickstart/digits_fcdnn_w2a2", seeds, "data.validation=0")
    _, ours = together(given, folder)
    theirs = alone(given, folder)
    sets = {kind: accuracies(folder, kind, seeds) for kind in ("group", "alone")}
    means = {kind: statistics.mean(found) for kind, found in sets.items()}
    scores = row(DIGITS, "test_accuracy", means["group"], "%", PEER, means["alone"])
    scores |= {
        "value": round(means["group"], 2),
        "peer_value": round(means["alone"], 2),
        "accuracies": sets["group"],
        "peers": sets["alone"],
        "deviation": round(statistics.stdev(sets["group"]), 2),
        "peer_deviation": round(statistics.stdev(sets["alone"]), 2),
    }
    return [row(DIGITS, "whole", ours, "s", PEER, theirs), scores]


class Epochs:
    """Processor time of epochs, by phase, of a kind of trainer."""

    def __init__(self, trainer: Any) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in EPOCHS}
        kept = trainer._epoch

        def timed(self_: Any, *given: Any) -> Any:
            began = time.process_time()
            made = kept(self_, *given)
            phase = getattr(self_, "phase", None) or self_._phase
            self.seconds[phase.name].append(time.process_time() - began)
            return made

        trainer._epoch = timed
        self._undo = (trainer, kept)

    def means(self, times: float = 1.0) -> dict[str, float]:
        """Seconds of an epoch, `times` as many."""
        trainer, kept = self._undo
        trainer._epoch = kept
        return {name: times * statistics.mean(found) for name, found in self.seconds.items()}


def plane(network: str, seeds: int, folder: Path) -> list[dict[str, Any]]:
    """Rows of a network of the study `synthetic`."""
    name, few = PLANE[network]
    given = recipes(f"boo2020/{name}", seeds, f"training.epochs={RUN}")
    watch = Epochs(group_phase.GroupPhase)
    _, ours = together(given, folder)
    grouped = watch.means()
    watch = Epochs(PhaseTrainer)
    theirs = alone(given[:few], folder) * seeds / few
    single = watch.means(seeds)
    rest = ours - RUN * sum(grouped.values()), theirs - RUN * sum(single.values())
    whole = [
        sum(count * epochs[phase] for phase, count in EPOCHS.items()) + left
        for epochs, left in zip((grouped, single), rest, strict=True)
    ]
    label = f"synthetic {network}"
    return [
        *(row(label, f"epoch_{p}", grouped[p], "s", PEER, single[p]) for p in EPOCHS),
        row(label, "rest", rest[0], "s", PEER, rest[1]),
        row(label, "whole", whole[0], "s", PEER, whole[1]),
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--network", choices=["digits", *PLANE], action="append")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # Loaded by the first training that ends, which would count for one side only.
    import sklearn.metrics  # noqa: F401

    for network in given.network or ["digits", *PLANE]:
        with tempfile.TemporaryDirectory() as name:
            measure = digits if network == "digits" else plane
            arguments = [] if network == "digits" else [network]
            rows = measure(*arguments, given.seeds, Path(name))
        for one in rows:
            print(json.dumps(one), flush=True)
        names = {one["network"] for one in rows}
        kept = [one for one in saved("seeds") if one["network"] not in names]
        save("seeds", [*kept, *rows])


if __name__ == "__main__":
    main()
