"""Checkpoints: tensors in safetensors, everything else in a JSON sidecar with their hash.

Both files are written atomically and synced to the disk, the sidecar last: a checkpoint whose
sidecar names the hash of its tensors is complete, anything else is not a checkpoint.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from qdeploy.artifacts import atomic_path, sha256, write_json
from qdeploy.bounded import read_json, read_some
from qdeploy.errors import CheckpointError
from qdeploy.parts import tidy

FORMAT = 1
KEPT = 2
MAX_BYTES = 1 << 32  # of the tensors: thirty times those of ResNet-50 with momentum


@dataclass(frozen=True, order=True)
class Position:
    """How far a run has come: `epoch` epochs of phase number `phase` (from 0) are done."""

    phase: int
    epoch: int

    def stem(self) -> str:
        """File name without its suffix; names sort in the order of the run."""
        return f"phase{self.phase:02}-epoch{self.epoch:05}"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back and found complete."""

    position: Position
    tensors: dict[str, torch.Tensor]
    sidecar: dict[str, Any]
    path: Path

    @property
    def ends_phase(self) -> bool:
        """Whether its phase was finished with it."""
        return bool(self.sidecar["keep"])


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], sidecar: dict[str, Any]) -> None:
    """Write `path` (.safetensors) and, in the same folder, the sidecar (.json).

    Raises:
        CheckpointError: when they cannot be written, such as on a full disk; what was written is
            removed, so that there is room for what comes next.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing(path):
        with atomic_path(path, durable=True) as temporary:
            save_file(plain, temporary)
        try:
            write_json(
                path.with_suffix(".json"),
                {"format": FORMAT, "tensors": path.name, "sha256": sha256(path), **sidecar},
                durable=True,
            )
        except OSError:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn system errors from writing `path` into an error for people.

    Raises:
        CheckpointError: names the file, the system's reason and how to resume.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        raise CheckpointError(
            f"`{path.name}` cannot be written",
            where=str(path),
            why=f"{error} ({free / 2**20:,.1f} MiB are free there)",
            do="free some space, then go on with --resume; complete checkpoints are intact",
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and sidecar of `path` (.safetensors).

    Raises:
        CheckpointError: when a file is missing, cut short or changed.
    """
    sidecar_path = path.with_suffix(".json")
    do = "train again, or go on from an earlier checkpoint with --resume"
    try:
        sidecar = read_json(sidecar_path)
        raw = read_some(path, MAX_BYTES)
        if not isinstance(sidecar, dict) or sidecar.get("format") != FORMAT:
            raise CheckpointError(
                f"`{sidecar_path.name}` has an unknown format", where=str(sidecar_path), do=do
            )
        if hashlib.sha256(raw).hexdigest() != sidecar.get("sha256"):
            raise CheckpointError(
                f"the checkpoint `{path.name}` is cut short or changed",
                where=str(path),
                why=f"its {len(raw)} bytes do not have the hash that {sidecar_path.name} names",
                do=do,
            )
        return load(raw), sidecar
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint `{path.name}` cannot be read",
            where=str(path),
            why=str(error),
            do=do,
        ) from error


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self,
        position: Position,
        tensors: dict[str, torch.Tensor],
        sidecar: dict[str, Any],
        *,
        keep: bool,
    ) -> Path:
        """Write a checkpoint and return its path; without `keep`, it stays only while it is among
        the newest."""
        path = self.folder / f"{position.stem()}.safetensors"
        write_tensors(
            path,
            tensors,
            {"phase": position.phase, "epoch": position.epoch, "keep": keep, **sidecar},
        )
        self.prune(KEPT)
        return path

    def prune(self, newest: int) -> None:
        """Remove all checkpoints but those to keep and the `newest` others."""
        others = [path for path in self.paths() if not _is_kept(path)]
        for path in others[: max(0, len(others) - newest)]:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def paths(self) -> list[Path]:
        """All candidates, oldest first."""
        return sorted(self.folder.glob("phase*-epoch*.safetensors"))

    def clear(self) -> None:
        """Remove files that killed processes left half written."""
        tidy(self.folder)

    def read(self, path: Path, recipe_sha256: str) -> Checkpoint:
        """The checkpoint in one of `paths()`.

        Raises:
            CheckpointError: when it is damaged or of another recipe.
        """
        tensors, sidecar = read_tensors(path)
        if sidecar.get("recipe_sha256") != recipe_sha256:
            raise CheckpointError(
                f"the checkpoint `{path.name}` belongs to another recipe",
                where=str(path),
                do="use --force to start this run over",
            )
        position = Position(*(_count(path, sidecar, key) for key in ("phase", "epoch")))
        return Checkpoint(position, tensors, sidecar, path)

    def end_of(
        self, phase: int, recipe_sha256: str, do: str = "use --force to start this run over"
    ) -> Checkpoint:
        """The checkpoint with which phase number `phase` ended; `do` is the advice without one.

        Raises:
            CheckpointError: when it is missing, damaged or of another recipe.
        """
        ends = [p for p in self.folder.glob(f"phase{phase:02}-epoch*.safetensors") if _is_kept(p)]
        if not ends:
            raise CheckpointError(
                f"there is no checkpoint of the end of phase number {phase + 1}",
                where=str(self.folder),
                do=do,
            )
        return self.read(max(ends), recipe_sha256)

    def newest(self, recipe_sha256: str) -> tuple[Checkpoint | None, list[CheckpointError]]:
        """The newest complete checkpoint of this recipe, and what was wrong with newer ones.

        Raises:
            CheckpointError: when there are checkpoints but none can be used.
        """
        unusable: list[CheckpointError] = []
        paths = self.paths()
        for path in reversed(paths):
            try:
                return self.read(path, recipe_sha256), unusable
            except CheckpointError as error:
                unusable.append(error)
        if unusable:
            raise CheckpointError(
                f"none of the {len(paths)} checkpoints can be used; the newest: {unusable[0].what}",
                where=str(self.folder),
                why=unusable[0].why,
                do="use --force to start this run over",
            )
        return None, []


def _count(path: Path, sidecar: dict[str, Any], key: str) -> int:
    value = sidecar.get(key)
    if type(value) is not int or value < 0 or type(sidecar.get("keep")) is not bool:
        raise CheckpointError(
            f"the checkpoint `{path.name}` does not say where in the run it was made",
            where=str(path.with_suffix(".json")),
            do="go on from an earlier checkpoint with --resume, or start over with --force",
        )
    return value


def _is_kept(path: Path) -> bool:
    try:
        return bool(read_json(path.with_suffix(".json"))["keep"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
