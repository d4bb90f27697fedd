"""docs/results.md, from the figures of trained networks that `trainings` collects."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainings_commands import export_command, train_command

ROOT = Path(__file__).resolve().parent.parent
RESOURCES = {"lut": "LUT", "ff": "flip-flops", "bram36": "BRAM36", "dsp": "DSP"}
HEAD = """# Results

Networks of this repository, trained on real data. `python bench/trainings.py --runs FOLDER
--builds FOLDER` makes this page from finished runs and their builds; do not edit it by hand.
Accuracies are those of the test set, losses those of the training set. ± after an accuracy is the
standard deviation over seeds; `to float` is in points, the mean of the differences to the float
network of the same seed, ± its standard error.

"""
NOTES = {
    "cifar10": "The images are JPEG copies of CIFAR-10 (about 30 dB): compare the rows with one "
    "another, not with accuracies elsewhere.",
    "fsdd": "The test set is two of the six speakers, none of whose recordings was trained on.",
    "camvid": "240x180 pixels, 11 classes, 367 images; void pixels do not count.",
}


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """docs/results.md, of runs in any order."""
    names = sorted({run["name"] for run in runs})
    groups = [
        sorted((run for run in runs if run["name"] == name), key=lambda run: run["seed"])
        for name in names
    ]
    return HEAD + "\n".join(section(group) for group in groups)


def section(runs: Sequence[Mapping[str, Any]]) -> str:
    """One network, trained once for each seed.

    Raises:
        ValueError: when the runs differ in their phases: they cannot be compared.
    """
    first = runs[0]
    kinds = {tuple((one["name"], one["epochs"]) for one in run["phases"]) for run in runs}
    if len(kinds) > 1:
        raise ValueError(f"the runs of {first['name']} differ in their phases: {sorted(kinds)}")
    overlap = any("miou" in phase for phase in first["phases"])
    columns = ["phase", "kind", "methods", "epochs", "accuracy"]
    columns += ["mIoU"] * overlap + ["to float", "loss", "L_Lip", "s/epoch"]
    rows = []
    for index, phase in enumerate(first["phases"]):
        same = [run["phases"][index] for run in runs]
        cells = [phase["name"], phase["kind"], ", ".join(phase["methods"]) or "-"]
        cells += [str(phase["epochs"]), _percent([one["accuracy"] for one in same])]
        cells += [_percent([one["miou"] for one in same])] if overlap else []
        cells += [_to_float(runs, index, "miou" if overlap else "accuracy")]
        cells += [f"{statistics.mean(one['loss'] for one in same):.3f}"]
        cells += [f"{statistics.mean(one['lipschitz'] for one in same):.4g}"]
        cells += [_per_epoch(same)]
        rows.append(cells)
    versions = first["versions"]
    lines = [
        f"## {first['name']}",
        "",
        *([NOTES[first["data"]], ""] if first["data"] in NOTES else []),
        *_table(columns, rows),
        "",
        f"`{train_command(recipe_path(first['name']), first['settings'])}`, {_seeds(runs)}, "
        f"at {_commits(runs)}{_where(first)}; torch {versions['torch']}, "
        f"Brevitas {versions['brevitas']}.",
        "",
        *_proof(next((run["build"] for run in runs if run["build"]), None)),
    ]
    return "\n".join(lines)


def _seeds(runs: Sequence[Mapping[str, Any]]) -> str:
    seeds = [str(run["seed"]) for run in runs]
    if len(seeds) == 1:
        return f"seed {seeds[0]} alone, from which no claim follows"
    return f"seeds {', '.join(seeds[:-1])} and {seeds[-1]}"


def _percent(shares: Sequence[float]) -> str:
    """Mean and standard deviation in percent, the latter of several seeds."""
    if len(shares) == 1:
        return f"{shares[0]:.2%}"
    return f"{statistics.mean(shares) * 100:.2f} ± {statistics.stdev(shares) * 100:.2f} %"


def _to_float(runs: Sequence[Mapping[str, Any]], index: int, metric: str) -> str:
    """Points above the last phase in float before it: the mean over seeds of the differences with
    the same seed, and its standard error."""
    before = [one["kind"] for one in runs[0]["phases"][:index]]
    if runs[0]["phases"][index]["kind"] == "pretrain" or "pretrain" not in before:
        return "-"
    place = len(before) - 1 - before[::-1].index("pretrain")
    found = [100 * (run["phases"][index][metric] - run["phases"][place][metric]) for run in runs]
    if len(found) == 1:
        return f"{found[0]:+.2f}"
    error = statistics.stdev(found) / math.sqrt(len(found))
    return f"{statistics.mean(found):+.2f} ± {error:.2f}"


def _per_epoch(phases: Sequence[Mapping[str, Any]]) -> str:
    """Median seconds per epoch over seeds, testing included."""
    if not phases[0]["epochs"]:
        return "-"
    return f"{statistics.median(one['seconds'] / one['epochs'] for one in phases):.3g}"


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


def _commits(runs: Sequence[Mapping[str, Any]]) -> str:
    """Of the runs, each once."""
    found = list(dict.fromkeys(_short(run["commit"]) for run in runs))
    return f"commit {found[0]}" if len(found) == 1 else f"commits {', '.join(found)}"


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
