"""Order of training images: a permutation, fixed by seed, phase and epoch."""

import torch

from qdeploy.data.registry import load_dataset
from qdeploy.training.batches import epoch_generator, steps_per_epoch, training_batches


def labels(recipe, phase: int, epoch: int) -> torch.Tensor:
    data = load_dataset("digits")
    return torch.cat([y for _, y in training_batches(data, recipe, phase, epoch)])


def test_batches_are_full_and_an_incomplete_last_one_is_left_out(recipe):
    data = load_dataset("digits")
    sizes = [len(y) for _, y in training_batches(data, recipe, 0, 0)]
    assert sizes == [64] * (1437 // 64)
    assert steps_per_epoch(1437, 64) == len(sizes)
    assert steps_per_epoch(50, 128) == 1


def test_the_same_epoch_is_the_same_and_others_differ(recipe):
    first = labels(recipe, 0, 0)
    assert torch.equal(first, labels(recipe, 0, 0))
    assert not torch.equal(first, labels(recipe, 0, 1))
    assert not torch.equal(first, labels(recipe, 1, 0))
    assert not torch.equal(first, labels(recipe.model_copy(update={"seed": 1}), 0, 0))


def test_inputs_are_the_upper_bits_as_fractions(recipe):
    quantization = recipe.quantization.model_copy(update={"input_bits": 2})
    recipe = recipe.model_copy(update={"quantization": quantization})
    inputs, _ = next(training_batches(load_dataset("digits"), recipe, 0, 0))
    assert inputs.dtype == torch.float32
    assert set((inputs * 4).unique().tolist()) == {0, 1, 2, 3}


def test_generators_of_neighbours_are_unrelated():
    seeds = {epoch_generator(0, p, e).initial_seed() for p in range(20) for e in range(20)}
    assert len(seeds) == 400
