"""Does another Verilator, or another Yosys, give the same hardware? Networks through both, counted.

    python bench/tool_versions.py verilator --other FOLDER [--only PATTERN ...] [--board-folding]
    python bench/tool_versions.py fuzz --other FOLDER [--count 100]
    python bench/tool_versions.py yosys --other FOLDER [--only PATTERN ...]

FOLDER holds the other `verilator` or `yosys`; the first one is that of the PATH. `verilator` builds
each network of the ladder once, as bench/ladder.py does, and simulates its RTL with both. `fuzz`
takes random networks through every level with each, as bench/fuzz.py does. `yosys` synthesizes each
selected network with both and simulates both netlists. Seconds are those of all processors, with
the programs' own. Writes bench/results/tool_versions.json; rows of other networks are kept. Exits
with 1 when anything differs or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ladder import BOARD, options_of, source_of
from ladder_networks import LADDER, Entry
from record import figure, rounded, save, saved

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))

NAME = "tool_versions"


@contextlib.contextmanager
def tools_of(folder: Path | None) -> Iterator[None]:
    """The programs of a folder before those of the PATH; None for the PATH alone."""
    before = os.environ["PATH"]
    if folder is not None:
        os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def label(tool: str) -> str:
    """The tool on the PATH with its version, such as `Verilator 5.006`."""
    from qdeploy.tools import tool_version

    return " ".join(tool_version(tool).split()[:2])


def processor_seconds() -> float:
    """Of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Rows:
    """Rows of one network, with the figures of each version beside each other."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.rows: list[dict[str, Any]] = []
        self.failed: list[str] = []

    def add(self, metric: str, tool: str, value: float, unit: str) -> None:
        """A figure that one version gave."""
        self.rows.append(figure(self.network, f"{metric}, {tool}", value, unit))

    def save(self) -> list[str]:
        """Store the rows; returns what failed."""
        others = [
            item
            for item in saved(NAME)
            if (item["network"], item["metric"])
            not in {(mine["network"], mine["metric"]) for mine in self.rows}
        ]
        save(NAME, [*others, *self.rows], {tool: label(tool) for tool in ("verilator", "yosys")})
        print(self.network, {item["metric"]: item["value"] for item in self.rows}, flush=True)
        return [f"{self.network}: {what}" for what in self.failed]


def simulated(entry: Entry, folder: Path, other: Path, *, board: bool) -> list[str]:
    """Simulate one network's RTL with both Verilators."""
    from qdeploy.build.build import build
    from qdeploy.build.reverify import verify
    from qdeploy.verify.ladder import RUNGS

    rows = Rows(entry.name + BOARD if board else entry.name)
    cache = folder / "cache"
    options = replace(
        options_of(entry, folder, None if board else entry.fps),
        cache=cache,
        require=("int",),
        skip=tuple(name for name in RUNGS if name != "int"),
        fifo_depths="analytic",
    )
    made = build(options, folder / "build", source=source_of(entry))
    for programs in (None, other):
        shutil.rmtree(cache, ignore_errors=True)
        with tools_of(programs):
            start, tool = processor_seconds(), label("verilator")
            again = verify(
                made.folder, require=("rtl",), skip=tuple(name for name in RUNGS if name != "rtl")
            )
            spent = processor_seconds() - start
        rung = next(one for one in again.rungs if one.name == "rtl")
        rows.add("rtl_mismatches", tool, rung.mismatches, "codes")
        rows.add("rtl_codes", tool, rung.codes, "codes")
        rows.add("rtl_seconds", tool, rounded(spent), "s")
        if again.failure is not None or not rung.codes:
            rows.failed.append(f"{tool}: {again.failure}")
    return rows.save()


def fuzzed(folder: Path, other: Path, count: int) -> list[str]:
    """Random networks through every level, with both Verilators."""
    from draw_networks import RandomDraw, draw_network
    from fuzz import check

    from qdeploy.errors import QDeployError

    rows = Rows(f"random, seeds 0 to {count - 1}")
    for programs in (None, other):
        with tools_of(programs):
            start, tool = processor_seconds(), label("verilator")
            networks = codes = failed = 0
            for seed in range(count):
                work = folder / f"{tool} {seed}"
                work.mkdir()
                network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
                try:
                    codes += check(network, work, folder / f"models of {tool}", seed=seed).codes
                    networks += 1
                except (AssertionError, QDeployError) as error:
                    failed += 1
                    rows.failed.append(f"{tool}, seed {seed}: {str(error).splitlines()[0]}")
                shutil.rmtree(work)
            rows.add("rtl_networks", tool, networks, "networks")
            rows.add("rtl_failed_networks", tool, failed, "networks")
            rows.add("rtl_codes", tool, codes, "codes")
            rows.add("rtl_seconds", tool, rounded(processor_seconds() - start), "s")
    return rows.save()


def synthesized(entry: Entry, folder: Path, other: Path) -> list[str]:
    """Synthesize one network with both Yosys and simulate both netlists."""
    from qdeploy.build.build import build
    from qdeploy.build_folder import RESOURCES_FILE
    from qdeploy.verify.ladder import RUNGS

    rows = Rows(entry.name)
    rungs = ("int", "netlist layer", "netlist")
    for programs in (None, other):
        with tools_of(programs):
            start, tool = processor_seconds(), label("yosys")
            options = replace(
                options_of(entry, folder, entry.fps),
                cache=folder / f"cache of {tool}",
                require=rungs,
                skip=tuple(name for name in RUNGS if name not in rungs),
                fifo_depths="analytic",
                synthesis=True,
            )
            made = build(options, folder / f"build of {tool}", source=source_of(entry))
            spent = processor_seconds() - start
        for rung in made.rungs:
            if rung.name in rungs[1:]:
                rows.add(f"{rung.name} mismatches", tool, rung.mismatches, "codes")
                rows.add(f"{rung.name} codes", tool, rung.codes, "codes")
        counted = json.loads((made.folder / RESOURCES_FILE).read_text(encoding="utf-8"))
        for kind in ("lut", "ff", "bram36", "dsp"):
            rows.add(kind, tool, counted[kind], kind)
        rows.add("seconds", tool, rounded(spent), "s")
        if made.failure is not None:
            rows.failed.append(f"{tool}: {made.failure}")
    return rows.save()


def main() -> None:
    """Compare the tool on the PATH with that of another folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("verilator", "fuzz", "yosys"))
    parser.add_argument("--other", type=Path, required=True, help="folder of the other program")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of network names")
    parser.add_argument("--board-folding", action="store_true", help="as fast as fits the board")
    parser.add_argument("--count", type=int, default=100, help="random networks")
    parser.add_argument("--resume", action="store_true", help="leave out networks that have rows")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from qdeploy.errors import QDeployError

    other, began = arguments.other.resolve(), time.monotonic()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as root:
        if arguments.what == "fuzz":
            failed = fuzzed(Path(root), other, arguments.count)
        for entry in LADDER if arguments.what != "fuzz" else ():
            if not any(fnmatch.fnmatch(entry.name, pattern) for pattern in arguments.only):
                continue
            board = arguments.board_folding and arguments.what == "verilator"
            name = entry.name + BOARD if board else entry.name
            mark = "rtl_codes" if arguments.what == "verilator" else "lut"
            if arguments.resume and any(
                item["network"] == name and item["metric"].startswith(mark) for item in saved(NAME)
            ):
                continue
            folder = Path(root) / entry.name
            try:
                if arguments.what == "yosys":
                    failed += synthesized(entry, folder, other)
                else:
                    failed += simulated(entry, folder, other, board=board)
            except QDeployError as error:
                print(f"{name}: {error}", flush=True)
                failed.append(f"{name}: {error.what}")
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.monotonic() - began:.0f} s")
    if failed:
        sys.exit("failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
