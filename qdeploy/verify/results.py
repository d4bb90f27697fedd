"""What the ladder finds: one result per rung, and the file `verify.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qdeploy import provenance
from qdeploy.artifacts import write_json
from qdeploy.build_folder import VERIFY_FILE


@dataclass(frozen=True)
class RungResult:
    """Result of one rung.

    Args:
        name: one of `RUNGS` of the ladder.
        frames, boundaries, codes: what was compared; `mismatches` of them differ.
        origins: codes that a layer gives otherwise from the level's own codes before it.
        wrong: of these and of the logits, those that no float rounding explains.
        must_be_exact: whether any mismatch is a failure.
        class_mismatches: frames, or pixels, with another predicted class.
        skipped: why the rung did not run, None when it did.
        refused: why the level is not the one that was built, None when it is: a failure.
        compared: what `codes` counts, for people.
        coverage: share of the single faults of each kind that would have changed something that
            the rung compared (`qdeploy.verify.coverage`); None where nothing says.
        note: one sentence for people.
        details: further figures (stalls, optimization levels, distances of differing codes).
    """

    name: str
    frames: int = 0
    boundaries: int = 0
    codes: int = 0
    mismatches: int = 0
    origins: int = 0
    wrong: int = 0
    must_be_exact: bool = True
    class_mismatches: int = 0
    skipped: str | None = None
    refused: str | None = None
    compared: str = "codes"
    coverage: dict[str, float] | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the rung holds what it promises; a skipped rung promises nothing."""
        if self.skipped is not None:
            return True
        if self.refused is not None:
            return False
        return self.wrong == 0 and (self.mismatches == 0 or not self.must_be_exact)

    def record(self) -> dict[str, Any]:
        """As in `verify.json`: empty fields left out."""
        data = asdict(self)
        for key in ("skipped", "refused", "coverage", "note", "details"):
            if not data[key]:
                del data[key]
        if self.compared == "codes":
            del data["compared"]
        return {**data, "passed": self.passed}


def anything_ran(rungs: Sequence[RungResult]) -> bool:
    """Whether the ladder says anything at all."""
    return any(rung.skipped is None for rung in rungs)


def write_verify(
    folder: Path,
    rungs: list[RungResult],
    *,
    sound: bool = True,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write `verify.json` into the build folder.

    Args:
        sound: whether everything besides the rungs is as it should be.
        more: further keys: what was found besides.
    """
    write_json(
        folder / VERIFY_FILE,
        {
            "frames": max((rung.frames for rung in rungs), default=0),
            "passed": sound and anything_ran(rungs) and all(rung.passed for rung in rungs),
            **(more or {}),
            "rungs": [rung.record() for rung in rungs],
            **provenance.record(),
        },
        durable=True,
    )
