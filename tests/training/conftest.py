"""Small recipes on the embedded digits."""

from __future__ import annotations

import _thread
import threading
import time
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
def interrupt_when() -> Callable[[Path], None]:
    """Interrupt the main thread, as Ctrl-C does, as soon as a file exists."""

    def arm(path: Path) -> None:
        def wait() -> None:
            end = time.monotonic() + 120
            while not path.exists() and time.monotonic() < end:
                time.sleep(0.001)
            _thread.interrupt_main()

        threading.Thread(target=wait, daemon=True).start()

    return arm
