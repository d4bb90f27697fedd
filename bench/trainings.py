"""Trainings of real tasks: float, quantized, with the methods, exported and verified.

    python bench/trainings.py --runs FOLDER [--builds FOLDER]

Reads finished runs of `qdeploy train`, one folder each, and their builds by `qdeploy export`
(folders of the same name). Writes a file per run to bench/results/trainings and docs/results.md
from all of them. It does no training itself: that takes hours and can be resumed; each table has
its command. Where a run does not name the machine that trained it, the page names the one that
collected it, and says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record import RESULTS
from trainings_commands import export_command, recorded_options, train_command

from qdeploy.artifacts import write_json, write_text
from qdeploy.provenance import machine

ROOT = Path(__file__).resolve().parent.parent
KEPT = RESULTS / "trainings"
RESOURCES = {"lut": "LUT", "ff": "flip-flops", "bram36": "BRAM36", "dsp": "DSP"}
FIGURES = ("accuracy", "miou", "loss", "lipschitz")
HEAD = """# Results

Networks of this repository, trained on real data. `python bench/trainings.py --runs FOLDER
--builds FOLDER` makes this page from finished runs and their builds; do not edit it by hand.
Accuracies are those of the test set, losses those of the training set.

"""
NOTES = {
    "cifar10": "The images are JPEG copies of CIFAR-10 (about 30 dB): compare the rows with one "
    "another, not with accuracies elsewhere.",
    "fsdd": "The test set is two of the six speakers, none of whose recordings was trained on.",
    "camvid": "240x180 pixels, 11 classes, 367 images; void pixels do not count.",
}


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
                "seconds": round(phase["seconds"]),
                **figures,
            }
        )
    return {
        "name": recipe.name,
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
    return found


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """docs/results.md."""
    return HEAD + "\n".join(section(run) for run in runs)


def section(run: Mapping[str, Any]) -> str:
    """One network."""
    overlap = any("miou" in phase for phase in run["phases"])
    columns = ["phase", "kind", "methods", "epochs", "accuracy"]
    columns += ["mIoU"] * overlap + ["loss", "L_Lip", "minutes"]
    rows = []
    for phase in run["phases"]:
        cells = [phase["name"], phase["kind"], ", ".join(phase["methods"]) or "-"]
        cells += [str(phase["epochs"]), f"{phase['accuracy']:.2%}"]
        cells += [f"{phase['miou']:.2%}"] if overlap else []
        cells += [f"{phase['loss']:.3f}", f"{phase['lipschitz']:.4g}", _minutes(phase["seconds"])]
        rows.append(cells)
    versions = run["versions"]
    lines = [
        f"## {run['name']}",
        "",
        *([NOTES[run["data"]], ""] if run["data"] in NOTES else []),
        *_table(columns, rows),
        "",
        f"`{train_command(recipe_path(run['name']), run['settings'])}`, seed {run['seed']}, "
        f"at commit {_short(run['commit'])}{_where(run)}; torch {versions['torch']}, "
        f"Brevitas {versions['brevitas']}.",
        "",
        *_proof(run["build"]),
    ]
    return "\n".join(lines)


def _where(run: Mapping[str, Any]) -> str:
    """Processes, threads and machine of a training, as far as the run records them."""
    parts = [
        f", {' or '.join(map(str, run[key]))} {one if run[key] == [1] else key}"
        for key, one in (("processes", "process"), ("threads", "thread"))
        if run[key]
    ]
    whose = "" if run["machine"] else "the run does not name its machine, collected on "
    machine = run["machine"] or run["collected_on"]
    return f"{''.join(parts)}; {whose}{machine['processor']}"


def _short(commit: str | None) -> str:
    """Seven digits, and `-dirty` where it says so."""
    number, dash, dirty = (commit or "unknown").partition("-")
    return f"{number[:7]}{dash}{dirty}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def recipe_path(name: str) -> str:
    """The recipe of that name, below models/."""
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.recipe.variant import recipe_name

    name = recipe_name(name)
    for path in sorted((ROOT / "models").glob("*/*.yaml")):
        if path.name != "tables.yaml" and load_recipe(path).name == name:
            return path.relative_to(ROOT / "models").as_posix()
    raise SystemExit(f"no recipe below models/ is named `{name}`")


def _proof(build: Mapping[str, Any] | None) -> list[str]:
    if build is None:
        return []
    rungs = [
        [
            rung["name"],
            *(f"{rung[key]:,}" for key in ("frames", "boundaries", "codes", "mismatches")),
        ]
        for rung in build["rungs"]
    ]
    rate = build["clock_mhz"] * 1e6 / build["cycles_per_frame"]
    whole, overlap = build["accuracy_int"], build["miou_int"]
    accuracy = "" if whole is None else f" The integer network's accuracy is {whole:.2%}"
    accuracy += f", its mIoU {overlap:.2%}." if overlap else "." if accuracy else ""
    fps = build["options"].get("fps")
    folded = f"for {fps:,.0f} frames/s" if fps else "as fast as fits the board"
    used = build["resources"] or {}
    takes = ", ".join(f"{used[key]:,g} {name}" for key, name in RESOURCES.items() if key in used)
    skipped = [f"The rung {name} did not run: {why}." for name, why in build["skipped"].items()]
    return [
        f"`{export_command(build['options'])}`, at commit {_short(build['commit'])}, folded "
        f"{folded}: {build['cycles_per_frame']:,} cycles per frame in RTL simulation, {rate:,.0f} "
        f"frames/s at {build['clock_mhz']:g} MHz{takes and '; '}{takes}.{accuracy}",
        "",
        *_table(["rung", "frames", "boundaries", "codes", "mismatches"], rungs),
        "",
        *(line for text in skipped for line in (text, "")),
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


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
            write_json(KEPT / f"{run['name']}.json", run)
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(KEPT.glob("*.json"))]
    write_text(ROOT / "docs" / "results.md", page(kept))
    print(f"written: {KEPT}, docs/results.md")


if __name__ == "__main__":
    main()
