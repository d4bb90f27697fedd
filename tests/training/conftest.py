"""Small recipes on the embedded digits."""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qdeploy.recipe.models import Recipe


@pytest.fixture(autouse=True)
def fresh_memory_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads memory before it is written trains to not-a-number."""
    monkeypatch.setattr("qdeploy.training.train.FILL_MEMORY", True)


@pytest.fixture
def recipe() -> Recipe:
    """Three phases, seven epochs, under a second; a cycle is shorter than eight epochs."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "network": {"type": "fcdnn", "width": 16, "depth": 2},
            "data": {"name": "digits", "batch_size": 64, "augment": "crop-flip", "crop_padding": 1},
            "training": {"threads": 1},
            "phases": [
                {
                    "name": "float",
                    "kind": "pretrain",
                    "epochs": 2,
                    "optimizer": {"weight_decay": 5e-4},
                },
                {
                    "name": "retrain",
                    "kind": "retrain",
                    "epochs": 3,
                    "optimizer": {"lr": 0.01},
                    "schedule": {"type": "step", "milestones": [2]},
                    "lipschitz": 1e-4,
                },
                {
                    "name": "finetune",
                    "kind": "finetune",
                    "epochs": 2,
                    "schedule": {"type": "cyclical", "period_epochs": 2, "base_lr": 1e-3},
                },
            ],
        }
    )


@pytest.fixture
def interrupt_when(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Interrupt the main thread, as Ctrl-C does, once a file gets its name.

    Files are replaced whole, so this is the moment itself: a thread that looks for the file may
    come after the run has ended, or after the file was deleted for the next one.
    """
    replace = os.replace
    awaited: set[Path] = set()

    def watched(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target) in awaited:
            awaited.remove(Path(target))
            _thread.interrupt_main()

    monkeypatch.setattr(os, "replace", watched)
    return awaited.add
