"""The table a person reads after an export: accuracy, speed, resources, and the proof.

Reads the files of a run folder and a build folder, and nothing else: what is not there, or was
skipped, is said in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from qdeploy.build_folder import (
    has_design,
    read_build,
    read_c_plan,
    read_classes,
    read_performance,
    read_resources,
    read_static_timing,
    read_summary,
    read_timing,
    read_verify,
)
from qdeploy.build_records import (
    PerformanceRecord,
    ResourcesRecord,
    RungRecord,
    StaticTimingRecord,
    SummaryRecord,
    TimingRecord,
    VerifyRecord,
)
from qdeploy.figures import FIGURES, shown
from qdeploy.report.classes import sentence
from qdeploy.report.cores import print_cores
from qdeploy.report.design_report import read_report
from qdeploy.report.layers import print_short
from qdeploy.report.tables import Cells, print_table

# Key in resources.json -> what it is called, in the order of a data sheet.
_RESOURCES = {
    "lut": "LUT",
    "lutram": "LUT as memory",
    "ff": "flip-flops",
    "bram36": "BRAM36",
    "uram": "URAM",
    "dsp": "DSP",
}


def print_summary(folder: Path, console: Console, run: Path | None = None) -> None:
    """Print the tables of a build, and of the training run it came from.

    Args:
        folder: the build folder.
        console: where to print.
        run: folder with `summary.json`; None for a network that was not trained here.

    Raises:
        UserError: when one of the files is there but cannot be read.
    """
    if run is not None:
        _accuracy(read_summary(run), console)
    classes = read_classes(folder)
    if classes is not None:
        console.print(sentence(classes), markup=False, highlight=False, soft_wrap=True)
        console.print()
    plan = read_c_plan(folder)
    if plan is None:
        _speed(read_performance(folder), console)
        _timing(read_static_timing(folder), read_timing(folder), console)
        _resources(read_resources(folder), console)
    else:
        print_cores(read_verify(folder), plan, console)
    if has_design(folder):
        print_short(read_report(folder), console)
    _ladder(read_verify(folder), console)
    for note in (read_build(folder) or {}).get("notes", []):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Build folder: {folder}", markup=False, highlight=False, soft_wrap=True)


def _missing(title: str, data: Mapping[str, Any] | None, console: Console) -> bool:
    """Say so when a file is absent or its stage was skipped; whether it did."""
    if data is None:
        reason = "not measured in this build"
    elif data.get("skipped"):
        reason = f"skipped: {data['skipped']}"
    else:
        return False
    console.print(f"{title}: {reason}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    return True


def _accuracy(data: SummaryRecord | None, console: Console) -> None:
    if _missing("Accuracy", data, console) or data is None:
        return
    phases: list[Mapping[str, Any]] = list(data.get("phases", []))
    keys = [k for k in FIGURES if all(isinstance(one.get(k), int | float) for one in phases)]
    rows = [(str(one.get("name", "")), *(shown(key, one[key]) for key in keys)) for one in phases]
    print_table(
        "Accuracy on the test set",
        ("phase", *(FIGURES[key] for key in keys)),
        rows,
        right=tuple(range(1, 1 + len(keys))),
        console=console,
    )


def _speed(data: PerformanceRecord | None, console: Console) -> None:
    if _missing("Speed", data, console) or data is None:
        return
    clock = data.get("clock_mhz")
    rows: list[Cells] = [
        ("cycles per frame", _number(data.get("cycles_per_frame"))),
        ("latency, cycles", _number(data.get("latency_cycles"))),
        (f"frames/s at {_number(clock)} MHz, assumed", _number(_whole(data.get("fps")))),
    ]
    title = _titled("Speed", data.get("source"))
    print_table(title, ("figure", "value"), rows, right=(1,), console=console)


def _timing(static: StaticTimingRecord | None, data: TimingRecord | None, console: Console) -> None:
    """Nothing where there is none, or where place and route was not requested."""
    for text in (at_risk(static) if static else None, placed(data) if data else None):
        if text is not None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            console.print()


def at_risk(data: StaticTimingRecord) -> str | None:
    """The longest path by the delays of cells, in one sentence; None where there is none."""
    if not data["paths"]:
        return None
    whole = data["paths"][0]
    return (
        f"Longest path before placement: from {whole['path_from']} to {whole['path_to']}, "
        f"{whole['hops']} routed nets, about {_number(round(whole['fmax_mhz']))} MHz by estimate "
        f"({data['source']})."
    )


def placed(data: TimingRecord) -> str:
    """What place and route for another part said, in one sentence."""
    return (
        f"Placed and routed whole for {data.get('part', '?')}: {_number(data.get('fmax_mhz'))} MHz;"
        f" the longest path goes from {data.get('path_from', '?')} to {data.get('path_to', '?')}."
        " The board's own clock stays assumed."
    )


def _resources(data: ResourcesRecord | None, console: Console) -> None:
    if _missing("Resources", data, console) or data is None:
        return
    available = data.get("available", {})
    figures = dict[str, Any](data)
    rows: list[Cells] = []
    for key, name in _RESOURCES.items():
        if key not in figures or (not figures[key] and not available.get(key)):
            continue
        # Shift registers are made of the same LUTs as distributed memory.
        used = figures[key] + (data.get("srl", 0) if key == "lutram" else 0)
        has = available.get(key)
        share = f"{used / has:.1%}" if has else "-"
        rows.append((name, _number(used), _number(has), share))
    fits = {True: "it fits", False: "IT DOES NOT FIT"}.get(data["fits"]) if "fits" in data else ""
    board = f"Resources on {data.get('board', '?')} ({data.get('part', '?')})"
    title = _titled(f"{board}: {fits}" if fits else board, data.get("source"))
    head = ("resource", "used", "available", "share")
    print_table(title, head, rows, right=(1, 2, 3), console=console)
    for note in data.get("notes", []):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
        console.print()


def _ladder(data: VerifyRecord | None, console: Console) -> None:
    if _missing("Verification", data, console) or data is None:
        return
    rungs = data.get("rungs", [])
    rows: list[Cells] = []
    covered = any(rung.get("coverage") for rung in rungs)
    for rung in rungs:
        cells = [_number(rung.get(k)) for k in ("frames", "boundaries", "codes", "mismatches")]
        if rung.get("skipped") or (rung.get("refused") and not rung.get("codes")):
            cells = ["-"] * len(cells)
        if covered:
            cells.append(least_covered(rung))
        last = "skipped" if rung.get("skipped") else verdict(rung)
        rows.append((str(rung["name"]), *cells, last))
    head = ["rung", "frames", "boundaries", "codes", "mismatches", "verdict"]
    if covered:
        head.insert(5, "coverage")
    print_table(
        "Verification: the same frames through every level",
        head,
        rows,
        right=range(1, len(head) - 1),
        console=console,
    )
    if covered:
        _coverage(rungs, console)
    for rung in rungs:
        text = f"skipped: {rung['skipped']}" if rung.get("skipped") else rung.get("note")
        text = rung.get("refused") or text
        if text:
            line = f"{rung['name']}: {text}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if rungs and all(rung.get("skipped") for rung in rungs):
        console.print("NO RUNG RAN: nothing shows that this design is the network")
    if any(rung.get(key) for rung in rungs for key in ("skipped", "refused", "note")):
        console.print()


def _coverage(rungs: Sequence[RungRecord], console: Console) -> None:
    kinds = coverage_kinds(rungs)
    rows = [
        (str(rung["name"]), *(covered_share(rung, kind) for kind in kinds))
        for rung in rungs
        if rung.get("coverage")
    ]
    print_table(
        "Coverage: single faults that would have changed what the rung compared",
        ("rung", *kinds),
        rows,
        right=range(1, 1 + len(kinds)),
        console=console,
    )


def coverage_kinds(rungs: Sequence[RungRecord]) -> list[str]:
    """Kinds of faults that some rung has a share of, in the order of the records."""
    return list(dict.fromkeys(kind for rung in rungs for kind in rung.get("coverage", {})))


def covered_share(rung: RungRecord, kind: str) -> str:
    """A rung's share of one kind of fault; `-` where it has none, `>=` where only some of its
    frames were looked at."""
    share = rung.get("coverage", {}).get(kind)
    if share is None:
        return "-"
    looked = rung.get("details", {}).get("single_faults", {}).get("frames", rung.get("frames"))
    bound = ">=" if share < 1 and looked != rung.get("frames") else ""
    # Never 100 % of what is not all.
    return bound + (f"{share:.1%}" if share == 1 or share < 0.9995 else "99.9%")


def least_covered(rung: RungRecord) -> str:
    """The kind of fault that a rung sees least of."""
    shares = rung.get("coverage", {})
    if not shares:
        return "-"
    kind = min(shares, key=lambda one: shares[one])
    return f"{covered_share(rung, kind)} {kind}" if shares[kind] < 1 else covered_share(rung, kind)


def verdict(rung: RungRecord) -> str:
    """One word for a rung that ran: exact, tolerated (ties in float32), DIFFERS, or REFUSED where
    the level is not what it stands for."""
    if rung.get("refused"):
        return "REFUSED"
    if rung.get("mismatches", 0) == 0 and rung.get("passed", True):
        return "exact"
    return "tolerated" if rung.get("passed", not rung.get("must_be_exact", True)) else "DIFFERS"


def _titled(title: str, source: object) -> str:
    return f"{title}  [{source}]" if source else title


def _whole(value: object) -> object:
    """Frames per second without decimals, where it is so large that they mean nothing."""
    return round(value) if isinstance(value, float) and value >= 100 else value


def _number(value: object) -> str:
    """A figure with thousands separated; `-` when it is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}"
