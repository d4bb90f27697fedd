"""Order of training images: a permutation, fixed by seed, phase and epoch."""

import hashlib

import pytest
import torch

from qdeploy.data.dataset import in_memory
from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError
from qdeploy.training.batches import (
    Batching,
    Shard,
    check_shards,
    epoch_generator,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)


def labels(recipe, phase: int, epoch: int) -> torch.Tensor:
    data = load_dataset("digits")
    return torch.cat([y for _, y in training_batches(data, Batching.of(recipe), phase, epoch)])


def test_batches_are_full_and_an_incomplete_last_one_is_left_out(recipe):
    data = load_dataset("digits")
    sizes = [len(y) for _, y in training_batches(data, Batching.of(recipe), 0, 0)]
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
    inputs, _ = next(training_batches(load_dataset("digits"), Batching.of(recipe), 0, 0))
    assert inputs.dtype == torch.float32
    assert set((inputs * 4).unique().tolist()) == {0, 1, 2, 3}


def test_generators_of_neighbours_are_unrelated():
    seeds = {epoch_generator(0, p, e).initial_seed() for p in range(20) for e in range(20)}
    assert len(seeds) == 400


def with_data(recipe, **values):
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=values)})


@pytest.mark.parametrize("augment", ["none", "crop", "crop-flip", "shift"])
@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_batches_together_are_those_of_one_process(recipe, augment, world):
    recipe = with_data(recipe, augment=augment)
    data = load_dataset("digits")
    whole = list(training_batches(data, Batching.of(recipe), 1, 2))
    ranks = [
        list(training_batches(data, Batching.of(recipe), 1, 2, Shard(r, world)))
        for r in range(world)
    ]
    assert {len(batches) for batches in ranks} == {len(whole)}
    for step, (inputs, labels) in enumerate(whole):
        parts = [batches[step] for batches in ranks]
        assert {len(y) for _, y in parts} == {64 // world}
        assert torch.equal(torch.cat([x for x, _ in parts]), inputs)
        assert torch.equal(torch.cat([y for _, y in parts]), labels)


@pytest.mark.parametrize(
    ("augment", "moves"),
    [
        ("none", {(0, 0, False)}),
        ("shift", {(0, column, False) for column in (-1, 0, 1)}),
        ("crop", {(r, c, False) for r in (-1, 0, 1) for c in (-1, 0, 1)}),
        ("crop-flip", {(r, c, f) for r in (-1, 0, 1) for c in (-1, 0, 1) for f in (False, True)}),
    ],
)
def test_each_augmentation_moves_images_as_it_says(recipe, augment, moves):
    """The image is one bright pixel beside a dark one, in the middle."""
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    image[0, 3, 3:5] = torch.tensor([255, 64])
    pair = (image.repeat(512, 1, 1, 1), torch.zeros(512, dtype=torch.int64))
    batching = Batching.of(with_data(recipe, augment=augment, batch_size=512))
    inputs, _ = next(training_batches(in_memory("dot", pair, pair, ("a", "b")), batching, 0, 0))
    codes = (inputs * 256).to(torch.int64)[:, 0]
    bright, dark = ((codes == value).nonzero()[:, 1:] for value in (255, 64))
    flipped = dark[:, 1] < bright[:, 1]
    column = torch.where(flipped, 7 - bright[:, 1], bright[:, 1]) - 3
    column = torch.where(flipped, -column, column)
    found = zip((bright[:, 0] - 3).tolist(), column.tolist(), flipped.tolist(), strict=True)
    assert set(found) == moves


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_parts_of_a_batch_hold_the_same_images_on_any_number_of_processes(recipe, augment):
    recipe = with_data(recipe, augment=augment)
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"accumulate": 4})}
    )
    data = load_dataset("digits")
    whole = next(training_batches(data, Batching.of(recipe), 1, 2))
    ranks = [
        next(training_batches(data, Batching.of(recipe), 1, 2, Shard(rank, 2))) for rank in range(2)
    ]
    for values, shares in zip(whole, zip(*ranks, strict=True), strict=True):
        shared = [share.chunk(4) for share in shares]
        for part, wanted in enumerate(values.chunk(4)):
            assert torch.equal(torch.cat([share[part] for share in shared]), wanted)


def phased(recipe, **values) -> Batching:
    return Batching.of(recipe).during(recipe.phases[0].model_copy(update=values))


MIXED = {"cutout": 3, "mixup": 0.4}


@pytest.mark.parametrize("changes", [{"cutout": 3}, {"mixup": 0.4}, MIXED])
@pytest.mark.parametrize("parts", [1, 4])
def test_holes_and_mixtures_are_the_same_on_any_number_of_processes(recipe, changes, parts):
    training = recipe.training.model_copy(update={"accumulate": parts})
    batching = phased(recipe.model_copy(update={"training": training}), **changes)
    data = load_dataset("digits")
    plain = list(training_batches(data, Batching.of(recipe), 1, 2))
    whole = list(training_batches(data, batching, 1, 2))
    for world in (2, 4):
        ranks = [
            list(training_batches(data, batching, 1, 2, Shard(r, world))) for r in range(world)
        ]
        for step, batch in enumerate(whole):
            assert not torch.equal(batch[0], plain[step][0])
            shares = zip(*(batches[step] for batches in ranks), strict=True)
            for wanted, share in zip(batch, shares, strict=True):
                split = [one.chunk(parts) for one in share]
                for part, values in enumerate(wanted.chunk(parts)):
                    assert torch.equal(torch.cat([one[part] for one in split]), values)


def test_holes_leave_crops_as_they_are(recipe):
    data = load_dataset("digits")
    plain = training_batches(data, Batching.of(recipe), 0, 1)
    cut = training_batches(data, phased(recipe, cutout=3), 0, 1)
    for (inputs, _), (changed, _) in zip(plain, cut, strict=True):
        hole = changed != inputs
        assert bool(hole.any())
        assert not bool(changed[hole].any())


def test_every_step_of_every_epoch_has_holes_of_its_own(recipe):
    recipe = with_data(recipe, augment="none")
    white = (torch.full((192, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(192).long())
    data = in_memory("made", white, white, ("a", "b"))
    batches = [
        inputs
        for phase, epoch in ((0, 0), (0, 1), (1, 0))
        for inputs, _ in training_batches(data, phased(recipe, cutout=3), phase, epoch)
    ]
    assert len(batches) == 9
    assert len({inputs.numpy().tobytes() for inputs in batches}) == 9


def test_mixed_inputs_are_on_the_grid_of_the_inputs_bits(recipe):
    quantization = recipe.quantization.model_copy(update={"input_bits": 3})
    batching = phased(recipe.model_copy(update={"quantization": quantization}), mixup=1.0)
    inputs, shares = next(training_batches(load_dataset("digits"), batching, 0, 0))
    assert set((inputs * 8).unique().tolist()) == set(range(8))
    assert shares.shape == (64, 10)
    assert shares.sum(1).tolist() == pytest.approx([1.0] * 64)


@pytest.mark.parametrize(
    ("size", "parts", "world", "what"),
    [
        (63, 1, 1, "pair the 63 images that a process takes of a batch at once"),
        (60, 4, 1, "pair the 15 images that a process takes of each of 4 parts of a batch"),
        (60, 2, 2, "pair the 15 images that a process takes of each of 2 parts of a batch"),
        (2000, 1, 1, "pair the 1,437 images"),
    ],
)
def test_mixtures_of_an_odd_number_of_images_are_refused(recipe, size, parts, world, what):
    recipe = with_data(recipe, batch_size=size)
    training = recipe.training.model_copy(update={"accumulate": parts})
    recipe = recipe.model_copy(update={"training": training})
    check_shards(phased(recipe, cutout=3), world, 1437)
    with pytest.raises(RecipeError, match=what) as caught:
        check_shards(phased(recipe, mixup=1.0), world, 1437)
    assert caught.value.where == "phases.mixup"


def test_one_process_sees_the_order_and_augmentation_of_earlier_versions(recipe):
    digest = hashlib.sha256()
    for inputs, labels in training_batches(load_dataset("digits"), Batching.of(recipe), 0, 1):
        digest.update((inputs * 256).to(torch.uint8).contiguous().numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "99630ee5fc513db7"


@pytest.mark.parametrize("options", [{}, MIXED], ids=["plain", "mixed"])
def test_an_epoch_goes_on_at_any_step_with_the_same_bits(recipe, options):
    data, batching = load_dataset("digits"), phased(recipe, **options)
    whole = list(training_batches(data, batching, 0, 1))
    rest = list(training_batches(data, batching, 0, 1, first_step=7))
    assert len(rest) == len(whole) - 7
    for values, wanted in zip(rest, whole[7:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(values, wanted, strict=True))


def test_a_batch_that_cannot_be_shared_equally_is_refused(recipe):
    with pytest.raises(RecipeError, match="64 images cannot be shared equally by 3 processes"):
        next(training_batches(load_dataset("digits"), Batching.of(recipe), 0, 0, Shard(0, 3)))


@pytest.mark.parametrize(
    ("size", "parts", "images", "why"),
    [
        (64, 3, 1000, "64 images cannot be shared equally by 3 parts"),
        (96, 4, 1000, "96 images cannot be shared equally by 5 processes in 4 parts"),
        (60, 60, 1000, "60 images per step are too few for 60 parts"),
        (60, 4, 7, "7 images per step are too few for 4 parts"),
    ],
)
def test_parts_that_batch_norm_cannot_take_are_refused(recipe, size, parts, images, why):
    recipe = with_data(recipe, batch_size=size)
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"accumulate": parts})}
    )
    with pytest.raises(RecipeError, match=why) as caught:
        check_shards(Batching.of(recipe), 5 if size == 96 else 1, images)
    assert caught.value.where == "training.accumulate"


@pytest.mark.parametrize("world", [1, 3])
def test_all_ranks_together_test_each_image_once(recipe, world):
    data = load_dataset("digits")
    seen = [
        len(y)
        for rank in range(world)
        for _, y in evaluation_batches(data, Batching.of(recipe), Shard(rank, world), size=50)
    ]
    assert sum(seen) == 360
    first = next(evaluation_batches(data, Batching.of(recipe), Shard(world - 1, world), size=50))[1]
    assert torch.equal(first, data.test_labels[50 * (world - 1) : 50 * world])
