"""Steps on a device: no number is fetched in them, and a divergence is still found at its step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qdeploy.errors import TrainingError
from qdeploy.recipe.models import Recipe
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.segmentation import Confusion, counted_on_a_device
from qdeploy.training.step_watch import StepWatch
from qdeploy.training.train import train

# What makes the host wait for a device: a number is read, or a size depends on values.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "is_nonzero")


class Waits(TorchDispatchMode):
    """Counts operations after which the host has to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.overloadpacket.__name__
        if name in WAITING:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings look at their numbers as if they were on a GPU, every 16 steps."""
    whole = StepWatch.__init__

    def begin(self: StepWatch, *given: Any) -> None:
        whole(self, *given, every=16)

    monkeypatch.setattr(StepWatch, "__init__", begin)


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lipschitz": 1e-3, "clip_norm": 1.0, "ema": 0.9},
        {"optimizer": {"lr": 1e-3, "nesterov": True}, "loss": {"label_smoothing": 0.1}},
        {"distillation": {"share": 0.5}},
        {"quantization": {"weight_gradient_scaling": 0.01}},
    ],
    ids=["plain", "terms", "smoothing", "teacher", "scaled gradients"],
)
def test_a_step_fetches_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole, waits, steps = PhaseTrainer._step, list[str](), 0

    def step(self: PhaseTrainer, inputs: Any, labels: Any, moment: Any, counted: Any) -> object:
        nonlocal steps
        if self._watch.looks_after(moment.step):
            return whole(self, inputs, labels, moment, counted)
        steps += 1
        with Waits() as found:
            made = whole(self, inputs, labels, moment, counted)
        waits.extend(found.seen)
        return made

    monkeypatch.setattr(PhaseTrainer, "_step", step)
    changed = recipe.model_dump()
    changed["quantization"].update(options.get("quantization", {}))
    changed["phases"][-1].update({k: v for k, v in options.items() if k != "quantization"})
    train(Recipe.model_validate(changed), tmp_path / "run")
    assert steps > 20
    assert waits == []


@pytest.mark.usefixtures("on_a_device")
def test_a_run_gives_the_same_bytes_however_often_it_looks(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe, tmp_path / "seldom")
    monkeypatch.undo()
    train(recipe, tmp_path / "always")
    files = [tmp_path / name / "model.safetensors" for name in ("seldom", "always")]
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = []
    for name in ("seldom", "always"):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        rows.append([(one["loss"], one["train_accuracy"]) for one in map(json.loads, lines)])
    assert rows[0] == rows[1] and len(rows[0]) > 3


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_a_divergence_is_noticed_late_and_named_by_its_step(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    whole = PhaseTrainer._step

    def step(self: Any, inputs: Any, labels: Any, moment: Any, counted: Any) -> object:
        if self.index == 1 and moment.step == 30:
            if part == "loss":
                inputs = inputs * torch.nan
            else:
                self.network.hidden1.fc.weight.register_hook(lambda g: g * torch.nan)
        return whole(self, inputs, labels, moment, counted)

    monkeypatch.setattr(PhaseTrainer, "_step", step)
    with pytest.raises(TrainingError, match=rf"the .*{part}.* is no longer a finite") as caught:
        train(recipe, tmp_path / "run")
    assert caught.value.where == "phase retrain, epoch 2, step 31"
    kept = sorted((tmp_path / "run" / "checkpoints").glob("phase01-*.safetensors"))
    assert [one.name for one in kept] == ["phase01-epoch00001.safetensors"]


@pytest.mark.parametrize("void", [None, 3, 255])
def test_pixels_are_counted_the_same_on_a_device(void: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    truth, predicted = (torch.randint(0, 5, (3, 40, 30), generator=generator) for _ in range(2))
    if void is not None:
        truth[torch.rand(truth.shape, generator=generator) < 0.2] = void
    plain = Confusion(5, void)
    plain.add(predicted, truth)
    with Waits() as found:
        made = counted_on_a_device(truth.flatten(), predicted.flatten(), 5, void)
    assert torch.equal(made, plain.counts) and not found.seen
