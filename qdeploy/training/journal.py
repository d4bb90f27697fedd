"""What a training writes into its run folder as it goes: metrics and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from qdeploy.recipe.training import Log
from qdeploy.training.checkpoints import CheckpointFolder, Position
from qdeploy.training.logs import Curves, write_table
from qdeploy.training.metrics import EpochMetrics, write_metrics
from qdeploy.training.run import CHECKPOINTS


@dataclass
class Journal:
    """The record of one training; only the first of several processes writes it.

    Args:
        folder: the run folder.
        digest: `recipe_digest` of the run.
        processes: how many train together.
        writes: whether this is the process that writes.
        rows: metrics so far.
        newest: path of the newest checkpoint, for messages; None before the first.
        logs: what else is written of the metrics; `close` ends it.
    """

    folder: Path
    digest: str
    processes: int = 1
    writes: bool = True
    rows: list[EpochMetrics] = field(default_factory=list)
    newest: Path | None = None
    logs: Sequence[Log] = ()
    _curves: Curves = field(init=False)

    def __post_init__(self) -> None:
        self._curves = Curves(self.folder)

    def add(self, row: EpochMetrics) -> None:
        """Take in a row and write it.

        Raises:
            CheckpointError: when it cannot be written.
        """
        self.rows.append(row)
        if self.writes:
            write_metrics(self.folder, self.rows)
            if "csv" in self.logs:
                write_table(self.folder, self.rows)
            if "tensorboard" in self.logs:
                self._curves.add(self.rows)

    def close(self) -> None:
        """Nothing more is written."""
        self._curves.close()

    def save(
        self, position: Position, phase: str, tensors: dict[str, torch.Tensor], *, keep: bool
    ) -> None:
        """Write a checkpoint of the phase named `phase`; `keep` as in `CheckpointFolder.save`.

        Raises:
            CheckpointError: when it cannot be written.
        """
        self.newest = CheckpointFolder(self.folder / CHECKPOINTS).save(
            position,
            tensors,
            {
                "recipe_sha256": self.digest,
                "phase_name": phase,
                "threads": torch.get_num_threads(),
                "processes": self.processes,
            },
            keep=keep,
        )
