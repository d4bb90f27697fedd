"""The folder of an ensemble, which holds all that it is made of.

members/1/, members/2/, …       the members' run folders, without what training left beside them
ensemble.json                   what they vote with: the grid, and the factors of their logits
summary.json                    accuracies of members and ensemble, which runs the members were, and
                                the digests of everything above; written last
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from qdeploy.artifacts import sha256, write_json
from qdeploy.bounded import read_json
from qdeploy.data.dataset import Dataset
from qdeploy.data.scaling import Scaling
from qdeploy.ensemble.compose import compose
from qdeploy.ensemble.members import FEWEST, MOST
from qdeploy.errors import CheckpointError
from qdeploy.observer import SILENT, Observer
from qdeploy.training.run import ENSEMBLE, FILES, MODEL, SUMMARY, Run, changed, load_run
from qdeploy.training.run import read_summary as read_run_summary

MEMBERS = "members"
FORMAT = 1


@dataclass(frozen=True)
class Vote:
    """What an ensemble votes with.

    Args:
        bits, step: the grid, as in `ensemble/vote.py`.
        factors: of each member, float32 (classes,).
        rank: of the logits with the batch axis, 2 or 4.
    """

    bits: int
    step: float
    factors: Sequence[np.ndarray]
    rank: int

    def to_json(self) -> dict[str, Any]:
        """For `ensemble.json`: numbers that read back as the same bits."""
        found = [[float(one) for one in member] for member in self.factors]
        return {"bits": self.bits, "step": self.step, "rank": self.rank, "factors": found}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Vote:
        """The inverse.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        bits, step, rank = int(given["bits"]), float(given["step"]), int(given["rank"])
        factors = [np.array(one, dtype=np.float32) for one in given["factors"]]
        flat = np.concatenate(factors)
        if not (2 <= bits <= 8 and 0 < step < 1e30 and rank in (2, 4)) or flat.ndim != 1:
            raise ValueError("a grid of another kind")
        if not (np.isfinite(flat).all() and (flat > 0).all()):
            raise ValueError("factors that are not positive numbers")
        return cls(bits, step, factors, rank)


@dataclass(frozen=True)
class TrainedEnsemble:
    """A finished ensemble, as `training.run.Run` is a finished run.

    Args:
        folder: the ensemble's folder.
        name: of the ensemble.
        members: its runs, in the order of their votes.
        files: what was read: path in the folder -> hex SHA-256.
        network: quantized, in evaluation mode; has `input_shape`.
        summary: content of summary.json.
    """

    folder: Path
    name: str
    members: tuple[Run, ...] = field(repr=False)
    files: dict[str, str]
    network: nn.Module = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    # There is no recipe that this network is trained by.
    recipe_text: None = None

    @property
    def recipe_sha256(self) -> str:
        """Digest of what the members' recipes say, in their order."""
        digests = [run.recipe_sha256 for run in self.members]
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()

    @property
    def input_bits(self) -> int:
        """Width of the input codes."""
        return self.members[0].input_bits

    @property
    def scaling(self) -> Scaling | None:
        """From real values to the members' input, None where it is made of bytes."""
        return self.members[0].scaling

    @property
    def targets(self) -> None:
        """None: members vote for classes."""
        return None

    @property
    def sentence(self) -> str:
        """What it is, for people."""
        return f"ensemble `{self.name}` of {len(self.members)} runs"

    def dataset(self, data_dir: Path | None = None, observer: Observer = SILENT) -> Dataset:
        """The members' data set; arguments as in `load_dataset`."""
        return self.members[0].dataset(data_dir, observer)


def is_ensemble(folder: Path) -> bool:
    """Whether the folder holds an ensemble, finished or damaged."""
    return (folder / ENSEMBLE).exists()


def write_members(folder: Path, name: str, runs: Sequence[Run], vote: Vote) -> dict[str, str]:
    """Write everything but the summary; returns path in the folder -> hex SHA-256."""
    digests: dict[str, str] = {}
    for index, run in enumerate(runs):
        place = f"{MEMBERS}/{index + 1}"
        (folder / place).mkdir(parents=True)
        for file in sorted({*run.files, str(Path(MODEL).with_suffix(".json")), SUMMARY}):
            shutil.copyfile(run.folder / file, folder / place / file)
        for file, digest in run.files.items():
            if sha256(folder / place / file) != digest:
                raise changed(run.folder / file)
            digests[f"{place}/{file}"] = digest
    write_json(folder / ENSEMBLE, {"format": FORMAT, "name": name, "vote": vote.to_json()})
    return {**digests, ENSEMBLE: sha256(folder / ENSEMBLE)}


def load_ensemble(folder: Path, observer: Observer = SILENT) -> TrainedEnsemble:
    """Read a finished ensemble and compare it with the digests in its summary.

    Raises:
        CheckpointError: when the folder holds none, an unfinished or a damaged one, or files that
            were changed since.
    """
    summary = read_run_summary(folder)
    if summary is None or not is_ensemble(folder):
        raise _damaged(folder, f"there is no `{SUMMARY if is_ensemble(folder) else ENSEMBLE}`")
    expected = summary.get(FILES)
    try:
        if not isinstance(expected, dict) or ENSEMBLE not in expected:
            raise ValueError(f"`{SUMMARY}` names no digests")
        if sha256(folder / ENSEMBLE) != expected[ENSEMBLE]:
            raise changed(folder / ENSEMBLE)
        record = read_json(folder / ENSEMBLE)
        if record.get("format") != FORMAT:
            raise ValueError("it has an unknown format")
        name, vote = str(record["name"]), Vote.from_json(record["vote"])
        if not FEWEST <= len(vote.factors) <= MOST:
            raise ValueError(f"it has {len(vote.factors)} members")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    files = {ENSEMBLE: expected[ENSEMBLE]}
    runs = []
    for index in range(len(vote.factors)):
        place = f"{MEMBERS}/{index + 1}"
        run = load_run(folder / place, observer.note)
        for file, digest in run.files.items():
            if expected.get(f"{place}/{file}") != digest:
                raise changed(folder / place / file)
            files[f"{place}/{file}"] = digest
        runs.append(run)
    network = compose([run.network for run in runs], vote.factors, vote.bits, vote.step, vote.rank)
    return TrainedEnsemble(folder, name, tuple(runs), files, network, summary)


def _damaged(folder: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"the ensemble in `{folder}` is not complete or damaged",
        where=str(folder),
        why=why,
        do="make it again with `qdeploy ensemble RUN RUN … --force`",
    )
