"""Ways to retrain a small network to 2 bits, each compared with the plain one.

    python bench/methods.py --runs FOLDER --data FOLDER [--network mlp] [--only NAME ...]

Every way starts from the same float networks, one for each seed, and trains as many epochs; the
difference to plain retraining is that of the same seed. Finished runs in the folder are used
again, unfinished ones go on. Runs of the list in `methods_variants.py`; writes
bench/results/methods.json after each of them, and docs/methods.md from it. With --page only the
page is written.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from methods_page import page
from methods_variants import EPOCHS, FLOAT, NETWORKS, RETRAIN, TITLES, VARIANTS, Variant
from methods_widths import at_equal_luts
from record import RESULTS, rounded, save, saved

from qdeploy.artifacts import write_text
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe
from qdeploy.training.run import recipe_digest
from qdeploy.training.train import train

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2)
FIGURE = "test accuracy"


def recipe_of(network: str, variant: Variant, seed: int) -> Recipe:
    """The recipe of a run."""
    base = NETWORKS[network]
    retraining = list(variant.phases) or [{**RETRAIN, **variant.retrain}]
    recipe = Recipe.model_validate(
        {
            **base,
            "name": f"{network}-{variant.name}",
            "seed": seed,
            "network": {**base["network"], **variant.network},
            "quantization": {**base.get("quantization", {}), **variant.quantization},
            "training": {"threads": 1},
            "phases": [FLOAT, *retraining],
        }
    )
    epochs = sum(phase.epochs for phase in recipe.phases[1:])
    if epochs != EPOCHS:
        raise SystemExit(f"{variant.name} has {epochs} epochs of retraining, not {EPOCHS}")
    return recipe


def accuracy(
    runs: Path, recipe: Recipe, data: Path, start: Path | None = None
) -> tuple[Path, float]:
    """The folder of a run and its test accuracy in percent; trained where it is not."""
    folder = runs / f"{recipe.name}-seed{recipe.seed}-{recipe_digest(recipe)[:8]}"
    train(recipe, folder, data, resume=True, warm_start=start, observer=Observer())
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return folder, 100 * summary["accuracy"]


def measure(
    network: str, variant: Variant, seeds: Sequence[int], runs: Path, data: Path
) -> dict[str, Any]:
    """The row of a variant."""
    plain: list[float] = []
    found: list[float] = []
    for seed in seeds:
        start, reached = accuracy(runs, recipe_of(network, VARIANTS[0], seed), data)
        plain.append(reached)
        if variant is VARIANTS[0]:
            found.append(reached)
            continue
        recipe = recipe_of(network, variant, seed)
        if variant.widths is not None:
            recipe = at_equal_luts(recipe, start, variant.widths, data)
        found.append(accuracy(runs, recipe, data, None if variant.network else start)[1])
    mean, peer = sum(found) / len(found), sum(plain) / len(plain)
    return {
        "network": TITLES[network],
        "metric": variant.name,
        "value": round(mean, 3),
        "unit": f"%, {FIGURE}",
        "peer": "plain",
        "peer_value": round(peer, 3),
        "ratio": rounded(mean / peer),
        "what": variant.what,
        "source": variant.source,
        "epochs": EPOCHS,
        "seeds": list(seeds),
        "accuracies": [round(one, 2) for one in found],
        "plain": [round(one, 2) for one in plain],
        **({"float": floats(network, seeds, runs)} if variant is VARIANTS[0] else {}),
    }


def floats(network: str, seeds: Sequence[int], runs: Path) -> list[float]:
    """Test accuracies of the float networks that all variants start from."""
    found = []
    for seed in seeds:
        recipe = recipe_of(network, VARIANTS[0], seed)
        folder = runs / f"{recipe.name}-seed{recipe.seed}-{recipe_digest(recipe)[:8]}"
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        found.append(round(100 * summary["phases"][0]["accuracy"], 2))
    return found


def keep(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of this run and, of those that are not measured anew, of earlier runs, in the list's
    order; store them."""
    names = {(one["network"], one["metric"]) for one in done}
    rows = [one for one in saved("methods") if (one["network"], one["metric"]) not in names]
    order = [variant.name for variant in VARIANTS]
    titles = list(TITLES.values())
    rows = sorted(
        [one for one in [*rows, *done] if one["metric"] in order],
        key=lambda one: (titles.index(one["network"]), order.index(one["metric"])),
    )
    save("methods", rows)
    return rows


def main() -> None:
    """Measure, print each row, and write results and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="folder of run folders")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--network", choices=list(NETWORKS), default="mlp")
    parser.add_argument("--only", nargs="+", default=[], help="names of variants")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    if not given.page:
        if given.runs is None or given.data is None:
            parser.error("--runs and --data are needed")
        unknown = set(given.only) - {variant.name for variant in VARIANTS}
        if unknown:
            parser.error(f"no variant is named {', '.join(sorted(unknown))}")
        warnings.simplefilter("ignore")
        done = []
        for variant in VARIANTS:
            if given.only and variant.name not in given.only:
                continue
            row = measure(given.network, variant, given.seeds, given.runs, given.data)
            print(f"{variant.name}: {row['accuracies']}, plain {row['plain']}", flush=True)
            done.append(row)
            keep(done)
    path = RESULTS / "methods.json"
    write_text(ROOT / "docs" / "methods.md", page(json.loads(path.read_text(encoding="utf-8"))))
    print(f"written: {path}, docs/methods.md")


if __name__ == "__main__":
    main()
