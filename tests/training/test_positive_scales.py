"""Learned scales stay positive, at rates that would carry them across zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from brevitas.core.scaling import ParameterScaling
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.journal import Journal
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.positive_scales import PositiveScales
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.run import load_run
from qdeploy.training.train import train

LEARNED = {"weight_step": "learned", "clip_gradient": "step", "weight_bits": 2}


def scales(network: nn.Module) -> list[torch.Tensor]:
    return [m.value.detach() for m in network.modules() if isinstance(m, ParameterScaling)]


def seen_scales(
    recipe: Recipe,
    folder: Path,
    after: Callable[[PositiveScales], None],
    **settings: str,
) -> torch.Tensor:
    """All scale parameters after each step, (steps, scales), of a phase whose gradients of scales
    are a thousand times too large."""
    quantization = recipe.quantization.model_copy(update={**LEARNED, **settings})
    recipe = recipe.model_copy(update={"quantization": quantization})
    torch.manual_seed(0)
    dataset = load_dataset(recipe.data, None)
    network = quantized_from(recipe, trainable(recipe, quantized=False), dataset)
    given = recipe.phases[1]
    plain = given.optimizer.model_copy(update={"momentum": 0.0})
    phase = given.model_copy(update={"optimizer": plain})
    for module in network.modules():
        if isinstance(module, ParameterScaling):
            module.value.register_hook(lambda gradient: 1000 * gradient)
    seen = []

    def noted(own: PositiveScales) -> None:
        after(own)
        seen.append(torch.stack(scales(network)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PositiveScales, "after", noted)
        journal = Journal(folder, "", writes=False)
        batching = Batching.of(recipe)
        PhaseTrainer(phase, 0, 1, network, dataset, batching, "float32", journal).run()
    return torch.stack(seen)


def test_a_scale_that_would_cross_zero_is_halved_instead(recipe: Recipe, tmp_path: Path) -> None:
    free = seen_scales(recipe, tmp_path, lambda _: None)
    assert free.min() < 0  # the rate does carry scales across zero
    kept = seen_scales(recipe, tmp_path, PositiveScales.after)
    assert kept.min() > 0
    assert (kept[1:] >= kept[:-1] / 2).all()
    assert (kept[1:] == kept[:-1] / 2).any()


def test_logarithms_of_scales_may_have_any_sign(recipe: Recipe, tmp_path: Path) -> None:
    seen = seen_scales(recipe, tmp_path, PositiveScales.after, scale="power_of_two")
    assert seen.min() < 0


def test_steps_that_follow_the_weights_do_so_after_every_step(
    recipe: Recipe, tmp_path: Path
) -> None:
    """Also with an average over the steps: that of the steps goes with that of the weights."""
    entropy = {"weight_normalization": "entropy"}
    quantization = recipe.quantization.model_copy(update=entropy)
    phases = [recipe.phases[0], recipe.phases[1].model_copy(update={"ema": 0.9})]
    for chosen in (recipe.phases[:2], phases):
        made = recipe.model_copy(update={"quantization": quantization, "phases": chosen})
        layer = load_run(train(made, tmp_path / f"{chosen[1].ema}")).network.hidden2.fc
        mean = layer.weight.abs().mean().item()
        bound = 1e-2 if chosen[1].ema else 1e-6
        assert layer.weight_quant.scale().item() == pytest.approx(4 * mean / 3, rel=bound)


def test_a_network_without_learned_scales_stays_as_it_is() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.clone()
    none = PositiveScales(layer)
    none.before()
    none.after()
    assert torch.equal(layer.weight, before)
