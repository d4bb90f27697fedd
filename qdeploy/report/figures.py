"""The figures of a run or a build, read from its files: what `compare` and `check` talk about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.build_folder import (
    BUILD_FILE,
    RECIPE_FILE,
    SUMMARY_FILE,
    read_build,
    read_classes,
    read_performance,
    read_resources,
    read_summary,
    read_verify,
)
from qdeploy.build_records import ClassesRecord, RungRecord
from qdeploy.errors import UserError

RUN, BUILD = "run", "build"


@dataclass(frozen=True)
class Figure:
    """What is known of runs and builds.

    Args:
        title: as tables have it.
        more_is_better: which way is worse; None where neither is.
        share: whether it is a share, shown in per cent.
        points: whether how much worse it is counts as a difference; as a ratio otherwise.
    """

    title: str
    more_is_better: bool | None
    share: bool = False
    points: bool = False

    def text(self, value: float | None) -> str:
        """A value of it, for people."""
        if value is None:
            return "-"
        return f"{value:.2%}" if self.share else f"{value:,.10g}"


FIGURES = {
    "accuracy": Figure("accuracy", True, share=True),
    "balanced_accuracy": Figure("balanced accuracy", True, share=True),
    "miou": Figure("mIoU", True, share=True),
    "r2": Figure("R²", True, points=True),
    "mae": Figure("mean absolute error", False),
    "fps": Figure("frames/s", True),
    "cycles_per_frame": Figure("cycles per frame", False),
    "latency_cycles": Figure("latency, cycles", False),
    "clock_mhz": Figure("clock, MHz", None),
    "lut": Figure("LUT", False),
    "ff": Figure("flip-flops", False),
    "bram36": Figure("BRAM36", False),
    "uram": Figure("URAM", False),
    "dsp": Figure("DSP", False),
    "flash_bytes": Figure("flash, bytes", False),
    "ram_bytes": Figure("RAM, bytes", False),
    "instructions_per_frame": Figure("instructions per frame", False),
}
RESOURCES = ("lut", "ff", "bram36", "uram", "dsp")
# Of a network in C, measured on a core.
ON_CORE = ("flash_bytes", "ram_bytes", "instructions_per_frame")


@dataclass(frozen=True)
class Measured:
    """A run or a build.

    Args:
        folder, kind: where and what it is.
        figures: key of `FIGURES` -> value, for those that are known.
        board, part: of a build for one.
        available: kind of resource -> what the part has.
        rungs: what the ladder found; empty for a run.
    """

    folder: Path
    kind: str
    name: str
    figures: dict[str, float]
    board: str | None = None
    part: str | None = None
    available: dict[str, float] | None = None
    rungs: tuple[RungRecord, ...] = ()

    @property
    def exact(self) -> bool | None:
        """Whether the ladder holds; None where it has not run."""
        ran = [rung for rung in self.rungs if not rung.get("skipped")]
        return all(rung.get("passed", True) for rung in ran) if ran else None


def measured(folder: Path) -> Measured:
    """Read a run or a build.

    Raises:
        UserError: the folder is neither, or one of its files cannot be read.
    """
    if (folder / BUILD_FILE).is_file():
        return _of_build(folder)
    if (folder / SUMMARY_FILE).is_file() and (folder / RECIPE_FILE).is_file():
        summary = read_summary(folder) or {}
        last: Any = (summary.get("phases") or [{}])[-1]
        by_class: Any = summary.get("by_class") or {}
        balanced = by_class.get("balanced_accuracy")
        figures = _known({**last, "balanced_accuracy": balanced})
        return Measured(folder, RUN, str(summary.get("name", folder.name)), figures)
    raise UserError(
        f"`{folder}` holds neither a finished run nor a build",
        do="give a folder that `qdeploy train` or `qdeploy export` named at its end",
    )


def _of_build(folder: Path) -> Measured:
    record = read_build(folder) or {}
    resources = read_resources(folder) or {}
    classes: ClassesRecord | dict[str, Any] = read_classes(folder) or {}
    rungs = tuple((read_verify(folder) or {}).get("rungs", []))
    scores = {
        "accuracy": record.get("accuracy_int"),
        "balanced_accuracy": classes.get("balanced_accuracy"),
        "miou": record.get("miou_int"),
        "r2": record.get("r2_int"),
        "mae": record.get("mae_int"),
    }
    counted = {kind: resources.get(kind) for kind in RESOURCES}
    details: list[Any] = [rung.get("details") or {} for rung in rungs if not rung.get("skipped")]
    core: Any = next((one for one in details if "flash_bytes" in one), {})
    counted |= {key: core.get(key) for key in ON_CORE}
    figures = _known({**scores, **(read_performance(folder) or {}), **counted})
    return Measured(
        folder,
        BUILD,
        str(record.get("name", folder.name)),
        figures,
        resources.get("board") or record.get("options", {}).get("board"),
        resources.get("part"),
        resources.get("available"),
        rungs,
    )


def _known(values: Any) -> dict[str, float]:
    return {
        key: value
        for key in FIGURES
        if isinstance(value := values.get(key), int | float) and not isinstance(value, bool)
    }
