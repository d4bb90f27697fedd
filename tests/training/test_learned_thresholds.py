"""Training with learned thresholds: what moves, how far, and the same bits when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qdeploy.data.load import load_dataset
from qdeploy.quant.thresholds import learned_segments
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.journal import Journal
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train


@pytest.fixture
def learned(recipe: Recipe) -> Recipe:
    quantization = recipe.quantization.model_copy(update={"activation_thresholds": "learned"})
    return recipe.model_copy(update={"quantization": quantization})


def test_thresholds_start_uniform_at_the_least_error_and_are_trained(
    learned: Recipe, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    dataset = load_dataset(learned.data, None)
    begun = quantized_from(learned, trainable(learned, quantized=False), dataset)
    for layer in (begun.hidden1, begun.hidden2):
        step = layer.act.act_quant.scale()  # type: ignore[union-attr, operator]
        own = layer.act.act_quant.fused_activation_quant_proxy.tensor_quant  # type: ignore[union-attr]
        thresholds = own.int_quant.segments.thresholds()  # type: ignore[union-attr, operator]
        assert torch.allclose(thresholds, step * torch.tensor([0.5, 1.5, 2.5]))
    trained = load_run(train(learned, tmp_path / "run")).network
    for one in learned_segments(trained):
        lengths = one.lengths.detach()
        assert (lengths > 0).all() and lengths.max() / lengths.min() > 1.001
        assert one.start.item() != 0


def test_an_interrupted_run_resumes_to_the_same_bits(
    learned: Recipe, tmp_path: Path, interrupt_when: Callable[[Path], None]
) -> None:
    whole = train(learned, tmp_path / "whole")
    folder = tmp_path / "broken"
    interrupt_when(folder / "checkpoints" / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(learned, folder)
    assert not (folder / MODEL).exists()
    train(learned, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_a_length_that_would_cross_zero_is_halved_instead(learned: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(0)
    dataset = load_dataset(learned.data, None)
    network = quantized_from(learned, trainable(learned, quantized=False), dataset)
    seen: list[torch.Tensor] = []
    for one in learned_segments(network):
        # The gradients of lengths are a hundred thousand times too large.
        one.lengths.register_hook(lambda gradient: 1e5 * gradient)
    plain = learned.phases[1].optimizer.model_copy(update={"momentum": 0.0})
    phase = learned.phases[1].model_copy(update={"optimizer": plain})
    journal = Journal(tmp_path, "", writes=False)
    trainer = PhaseTrainer(phase, 0, 1, network, dataset, Batching.of(learned), "float32", journal)
    step = trainer._optimizer.step

    def noted(*arguments: object) -> None:
        seen.append(torch.cat([one.lengths.detach().clone() for one in learned_segments(network)]))
        step(*arguments)  # type: ignore[arg-type]

    trainer._optimizer.step = noted  # type: ignore[method-assign, assignment]
    trainer.run()
    lengths = torch.stack(seen)
    assert lengths.min() > 0
    assert (lengths[1:] == lengths[:-1] / 2).any()
    for one in learned_segments(network):
        assert (one.thresholds().diff() >= 0).all()
