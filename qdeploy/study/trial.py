"""Running one trial, or building its hardware: what a worker does, on this machine or another.

A job and its reply are JSON, so that any kind of worker takes them. A run folder is named by the
trial's address; one that was left unfinished is gone on with.
"""

from __future__ import annotations

import base64
import errno
import json
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy import provenance
from qdeploy.build.build import build
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build_folder import (
    read_build,
    read_performance,
    read_resources,
    read_verify,
)
from qdeploy.errors import CheckpointError, LockedError, QDeployError, TrainingError
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe

RUNS, BUILDS = "runs", "builds"
# How an attempt ended. `full` and `locked` say nothing about the trial.
OK, FAILED, DIVERGED, FULL, LOCKED = "done", "failed", "diverged", "full", "locked"


@dataclass(frozen=True)
class Member:
    """A trial of a group: `address`, `recipe` and `start_from` as of a `Job`."""

    address: str
    recipe: str
    start_from: str | None


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Args:
        address: of the trial.
        folder: of the store; run folders are in it.
        recipe: as JSON.
        data: folder of the data sets.
        start_from: address of the trial to start from.
        again: begin anew, whatever is there.
        board, options: given, the run's hardware is built.
        together: given, the values of a `Member` each: these are trained together, up to their last
            epochs, and nothing is measured.
    """

    address: str
    folder: str
    recipe: str
    data: str | None = None
    start_from: str | None = None
    again: bool = False
    board: str | None = None
    options: dict[str, float] = field(default_factory=dict)
    together: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Tells it from others of a study."""
        return self.address if self.board is None else f"{self.address}@{self.board}"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.run_of(self.address)

    @property
    def runs(self) -> list[Path]:
        """All run folders that it writes."""
        return [self.run_of(one["address"]) for one in self.together] or [self.run]

    def run_of(self, address: str) -> Path:
        """The run folder of a trial."""
        return Path(self.folder) / RUNS / address


@dataclass(frozen=True)
class Reply:
    """What came of it.

    Args:
        kind: one of the above.
        result: what was measured.
        error: for people.
        peak_mib: most memory that the process ever had.
        maker: provenance, as JSON.
    """

    kind: str
    result: dict[str, Any] | None = None
    error: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0
    maker: str = "{}"


def run(job: Job, hear: Callable[[str], None]) -> Reply:
    """Do a job; a failure that has a message is in the reply.

    A fault of ours ends the worker, and whoever started it has its last words and goes on with the
    other trials, as for a worker that was killed.

    Args:
        hear: takes notes of the training, a sentence each.
    """
    start = time.monotonic()
    kind, result, error = OK, None, ""
    try:
        if job.together:
            error = _train_together(job, hear)
        else:
            result = _train(job, hear) if job.board is None else _build(job, hear)
    except LockedError as found:
        kind, error = LOCKED, found.render()
    except TrainingError as found:
        kind, error = DIVERGED, found.render()
    except (QDeployError, OSError) as found:
        full = _disk_full(found, Path(job.folder))
        kind = FULL if full else FAILED
        error = found.render() if isinstance(found, QDeployError) else str(found)
    except MemoryError:
        kind, error = FAILED, "there was not enough memory"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    maker = json.dumps(provenance.record(), sort_keys=True)
    return Reply(kind, result, error, time.monotonic() - start, peak, maker)


def reply_text(reply: Reply) -> str:
    """As a line."""
    return json.dumps(asdict(reply))


def _train(job: Job, hear: Callable[[str], None]) -> dict[str, Any]:
    from qdeploy.training.measured import measured
    from qdeploy.training.run import read_summary
    from qdeploy.training.train import train

    recipe = Recipe.model_validate_json(job.recipe)
    data = None if job.data is None else Path(job.data)
    source = None if job.start_from is None else job.run_of(job.start_from)
    observer = Observer(note=hear)

    def once(resume: bool, force: bool) -> None:
        train(
            recipe,
            job.run,
            data,
            resume=resume,
            force=force,
            warm_start=source,
            observer=observer,
        )

    try:
        once(resume=not job.again, force=job.again)
    except CheckpointError as error:
        if job.again or _disk_full(error, Path(job.folder)):
            raise
        hear(f"{error.what}: the trial begins anew")
        once(resume=False, force=True)
    summary = read_summary(job.run) or {}
    phases = {row["name"]: row for row in summary.get("phases", [])}
    keys = ("accuracy", "train_accuracy", "miou", "train_miou")
    found: dict[str, Any] = {
        "phases": {
            name: {key: row[key] for key in keys if row.get(key) is not None}
            for name, row in phases.items()
        }
    }
    wanted = {"last": False}
    if recipe.phases[-1].kind == "direct":  # a root: cells in float are read from it
        wanted["float"] = True
    for name, floating in wanted.items():
        one = measured(job.run, floating=floating)
        found[name] = {"weights": one.weights, "weight_bits": one.weight_bits}
        if one.plane is not None:
            found[name]["plane"] = packed(one.plane)
    return found


def _train_together(job: Job, hear: Callable[[str], None]) -> str:
    """Train a group; why it was not trained together, empty if it was."""
    from qdeploy.training.group.train import train_group

    members = [Member(**one) for one in job.together]
    sources = {
        job.run_of(one.address): job.run_of(one.start_from) for one in members if one.start_from
    }
    why = train_group(
        {job.run_of(one.address): Recipe.model_validate_json(one.recipe) for one in members},
        None if job.data is None else Path(job.data),
        warm_starts=sources,
        observer=Observer(note=hear),
    )
    return why or ""


def _build(job: Job, hear: Callable[[str], None]) -> dict[str, Any]:
    from qdeploy.report.html import write_build_report

    options: dict[str, Any] = {
        key: value if key in ("fps", "clock_mhz") else int(value)
        for key, value in job.options.items()
    }
    board = Path(job.board or "").stem  # a board's file is taken too
    out = Path(job.folder) / BUILDS / f"{job.address}-{board}"
    made = build(
        Options(
            source=job.run,
            board=job.board,
            data=None if job.data is None else Path(job.data),
            **options,
        ),
        out,
        BuildObserver(note=hear),
        force=True,
        finish=write_build_report,
    )
    folder = made.folder
    resources, performance = read_resources(folder) or {}, read_performance(folder) or {}
    rungs = {one["name"]: one["mismatches"] for one in (read_verify(folder) or {}).get("rungs", [])}
    return {
        "lut": resources.get("lut"),
        "ff": resources.get("ff"),
        "bram36": resources.get("bram36"),
        "dsp": resources.get("dsp"),
        "fps": performance.get("fps"),
        "clock_mhz": performance.get("clock_mhz"),
        "latency_cycles": performance.get("latency_cycles"),
        "accuracy": (read_build(folder) or {}).get("accuracy_int"),
        "rungs": rungs,
        "proven": made.failure is None,
    }


def packed(plane: npt.NDArray[np.bool_]) -> str:
    """A square image of bits as text."""
    return base64.b64encode(np.packbits(plane).tobytes()).decode("ascii")


def unpacked(text: str, side: int) -> npt.NDArray[np.bool_]:
    """The image that `packed` was given, `side` points wide."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=side**2)
    return bits.reshape(side, side).astype(bool)


def _disk_full(error: BaseException | None, folder: Path) -> bool:
    """Whether an error, or one that caused it, is that a disk has no room."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    while error is not None:
        if isinstance(error, OSError) and error.errno in codes:
            return True
        if any(f"os error {code})" in str(error) for code in codes):  # as safetensors tells it
            return True
        error = error.__cause__
    return shutil.disk_usage(folder).free < 1 << 20
