"""Trainings of real tasks: float, quantized, with the methods, exported and verified.

    python bench/trainings.py --runs FOLDER [--builds FOLDER]

Reads finished runs of `qdeploy train`, one folder each, and their builds by `qdeploy export`
(folders of the same name). Runs of one recipe with several seeds belong together. Writes a file per
run to bench/results/trainings and docs/results.md from all of them (`trainings_page`). It does no
training itself: that takes hours and can be resumed; each table has its command.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from record import RESULTS
from trainings_commands import recorded_options
from trainings_page import RESOURCES, page

from qdeploy.artifacts import write_json, write_text
from qdeploy.provenance import machine

ROOT = Path(__file__).resolve().parent.parent
KEPT = RESULTS / "trainings"
FIGURES = ("accuracy", "miou", "loss", "lipschitz")


def read_run(folder: Path, build: Path | None) -> dict[str, Any]:
    """The figures of a run folder and of its build."""
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(folder / "recipe.yaml")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    provenance, phases = summary["provenance"], []
    for phase in summary["phases"]:
        settings = next(one for one in recipe.phases if one.name == phase["name"])
        figures = {key: phase[key] for key in FIGURES if key in phase}
        phases.append(
            {
                "name": phase["name"],
                "kind": phase["kind"],
                "epochs": phase["epochs"],
                "methods": _methods(settings),
                "kept_epoch": phase.get("kept_epoch"),
                "seconds": round(phase["seconds"]),
                **figures,
            }
        )
    return {
        "name": _without_seed(recipe.name),
        "data": recipe.data.name,
        "seed": recipe.seed,
        "settings": recipe.training.model_dump(exclude_defaults=True),
        "phases": phases,
        "versions": provenance["versions"],
        "commit": provenance["git"],
        "recipe_sha256": summary["recipe_sha256"],
        **_parallelism(folder),
        "machine": provenance.get("machine"),
        "collected_on": machine(),
        "build": None if build is None else read_build(build),
    }


def _without_seed(name: str) -> str:
    """A recipe's name without what was set of seed and `training`, which the table says."""
    first, *parts = name.split("+")
    return "+".join([first, *(one for one in parts if not one.startswith(("seed=", "training.")))])


def _parallelism(folder: Path) -> dict[str, list[int]]:
    """Numbers of processes and threads used, each once: a resumed run may have several."""
    sidecars = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "checkpoints").glob("*.json"))
    ]
    return {
        key: sorted({one[key] for one in sidecars if one.get(key) is not None})
        for key in ("processes", "threads")
    }


def read_build(folder: Path) -> dict[str, Any]:
    """What was proved of a build."""
    verified = json.loads((folder / "verify.json").read_text(encoding="utf-8"))
    made = json.loads((folder / "build.json").read_text(encoding="utf-8"))
    speed = json.loads((folder / "performance.json").read_text(encoding="utf-8"))
    keys = ("name", "frames", "boundaries", "codes", "mismatches")
    return {
        "options": recorded_options(made["options"]),
        "commit": made["git"],
        "accuracy_int": made["accuracy_int"],
        "miou_int": made["miou_int"],
        "cycles_per_frame": speed["cycles_per_frame"],
        "clock_mhz": speed["clock_mhz"],
        "resources": _resources(folder / "resources.json"),
        "rungs": [
            {key: rung[key] for key in keys}
            for rung in verified["rungs"]
            if not rung.get("skipped")
        ],
        "skipped": {
            rung["name"]: rung["skipped"] for rung in verified["rungs"] if rung.get("skipped")
        },
    }


def _resources(path: Path) -> dict[str, float] | None:
    """What synthesis counted; None where there was none."""
    if not path.exists():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    return None if data.get("skipped") else {key: data[key] for key in RESOURCES}


def _methods(phase: Any) -> list[str]:
    found = []
    if phase.lipschitz > 0:
        found.append(f"L_Lip {phase.lipschitz:g}")
    if phase.schedule.type == "cyclical":
        found.append("cyclical rates")
    named = {
        "distillation": phase.distillation is not None,
        "pruning": phase.pruning is not None,
        "frozen norms": phase.frozen_norms,
    }
    return found + [name for name, used in named.items() if used]


def main() -> None:
    """Collect and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders")
    parser.add_argument("--builds", type=Path, help="folder of build folders of the same names")
    arguments = parser.parse_args()
    for folder in sorted(arguments.runs.iterdir()):
        if (folder / "summary.json").exists():
            build = arguments.builds and arguments.builds / folder.name
            built = build if build and (build / "verify.json").exists() else None
            run = read_run(folder, built)
            write_json(KEPT / f"{run['name']}-seed{run['seed']}.json", run)
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(KEPT.glob("*.json"))]
    write_text(ROOT / "docs" / "results.md", page(kept))
    print(f"written: {KEPT}, docs/results.md")


if __name__ == "__main__":
    main()
