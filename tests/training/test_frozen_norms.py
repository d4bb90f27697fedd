"""A phase with fixed statistics of batch norm: what it trains is what is deployed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from qdeploy.data.load import load_dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.methods.recalibrate import recalibrate, recalibration_batches
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.quantize import trainable
from qdeploy.training.run import MODEL
from qdeploy.training.state import restore_network
from qdeploy.training.train import train
from qdeploy.training.workers import ALONE

STATISTICS = ("running_mean", "running_var")


def with_frozen(recipe: Recipe, images: int = 640, **changes: Any) -> Recipe:
    """The recipe whose last phase has fixed statistics."""
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[-1].update({"frozen_norms": True, "recalibrate": images, **changes})
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases})


def tensors(folder: Path, phase: int) -> dict[str, torch.Tensor]:
    """The network at the end of a phase."""
    return read_tensors(max((folder / "checkpoints").glob(f"phase{phase:02}-*.safetensors")))[0]


def test_statistics_are_recomputed_once_and_stay_while_weights_move(
    recipe: Recipe, tmp_path: Path
) -> None:
    wanted = with_frozen(recipe)
    last = len(wanted.phases) - 1
    folder = train(wanted, tmp_path / "run")
    network = trainable(wanted, quantized=True)
    restore_network(network, tensors(folder, last - 1))
    data, epochs = load_dataset(wanted.data), wanted.phases[-1].epochs
    place = (last, epochs)
    batches = partial(recalibration_batches, data, Batching.of(wanted), place, 640, ALONE)
    assert recalibrate(network, batches) == 640
    before, after = network.state_dict(), tensors(folder, last)
    moved = {
        name for name, value in before.items() if not torch.equal(value, after["network/" + name])
    }
    assert not [name for name in moved if name.endswith(STATISTICS)]
    assert [name for name in moved if name.endswith("norm.weight")]
    assert [name for name in moved if name.endswith("fc.weight")]


def test_the_statistics_of_the_phase_before_stay_where_none_are_recomputed(
    recipe: Recipe, tmp_path: Path
) -> None:
    folder = train(with_frozen(recipe, 0), tmp_path / "run")
    last = len(recipe.phases) - 1
    before, after = tensors(folder, last - 1), tensors(folder, last)
    names = [name for name in before if name.endswith(STATISTICS)]
    assert names and all(torch.equal(before[name], after[name]) for name in names)


def test_a_step_computes_what_is_deployed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, seen = PhaseTrainer._step, []

    def step(self: Any, inputs: Any, labels: Any, moment: Any, counted: Any) -> object:
        if self.phase.frozen_norms:
            with torch.no_grad():
                trained = self.network(inputs)
                self.network.eval()
                deployed = self.network(inputs)
                self.network.train()
                self.methods.begin_epoch(1)
            seen.append(torch.equal(trained, deployed))
        return whole(self, inputs, labels, moment, counted)

    monkeypatch.setattr(PhaseTrainer, "_step", step)
    train(with_frozen(recipe), tmp_path / "run")
    assert len(seen) > 5 and all(seen)


def test_a_run_that_was_interrupted_ends_with_the_same_bits(
    recipe: Recipe, tmp_path: Path, interrupt_when: Any
) -> None:
    wanted = with_frozen(recipe, epochs=3)
    whole = train(wanted, tmp_path / "whole")
    folder, last = tmp_path / "broken", len(wanted.phases) - 1
    interrupt_when(folder / "checkpoints" / f"phase{last:02}-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, folder)
    train(wanted, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


@pytest.mark.parametrize(
    ("phase", "changes", "sentence"),
    [
        (0, {"frozen_norms": True}, "`float` is of kind pretrain: remove it there"),
        (1, {"frozen_norms": True, "pruning": {"target": 0.5}}, "a phase of their own after it"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(
    recipe: Recipe, phase: int, changes: dict[str, Any], sentence: str
) -> None:
    phases = [one.model_dump() for one in recipe.phases]
    phases[phase].update(changes)
    with pytest.raises(ValidationError, match=sentence):
        Recipe.model_validate({**recipe.model_dump(), "phases": phases})
