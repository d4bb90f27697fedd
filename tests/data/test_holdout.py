"""The validation split."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.holdout import PartOfFiles, with_validation
from qdeploy.data.load import load_dataset
from qdeploy.data.stream import FileSplit, stream
from qdeploy.errors import DataError


def numbered(labels: list[int], classes: int) -> Dataset:
    """Images of which each pixel is the image's number."""
    count = len(labels)
    images = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    pair = (images, torch.tensor(labels, dtype=torch.int64))
    return in_memory("numbered", pair, pair, tuple(f"class {n}" for n in range(classes)))


@given(
    st.lists(st.integers(4, 40), min_size=2, max_size=5),
    st.floats(0.15, 0.85),
    st.integers(0, 5),
)
def test_every_class_gives_its_share_and_no_image_is_lost(counts, share, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    labels = np.random.default_rng(seed).permutation(labels).tolist()
    data = with_validation(numbered(labels, len(counts)), share, seed)
    held, left = data.validation, data.train
    numbers = [held.images.flatten().tolist(), left.images.flatten().tolist()]
    assert sorted(numbers[0] + numbers[1]) == list(range(len(labels)))
    for split, order in zip((held, left), numbers, strict=True):
        assert order == sorted(order)
        assert split.labels.tolist() == [labels[number] for number in order]
    wanted = [round(share * count) for count in counts]
    assert held.label_counts(len(counts)).tolist() == wanted
    again = with_validation(numbered(labels, len(counts)), share, seed).validation
    assert torch.equal(again.images, held.images)


def test_another_seed_draws_another_split_and_leaves_the_global_state_alone():
    data, state = load_dataset("digits"), torch.get_rng_state()
    one, other = (with_validation(data, 0.2, seed).validation for seed in (0, 1))
    assert len(one) == len(other) == 287
    assert not torch.equal(one.images, other.images)
    assert torch.equal(torch.get_rng_state(), state)
    assert with_validation(data, 0, 0) is data


@pytest.mark.parametrize(
    ("share", "labels", "found"),
    [
        (0.1, [0] * 20 + [1] * 4, "0.1 is nothing of the 4 training images of the class `class 1`"),
        (0.9, [0] * 20 + [1] * 4, "0.9 is all of the 4 training images of the class `class 1`"),
        (0.4, [0] * 20 + [1], "0.4 is nothing of the 1 training image of the class `class 1`"),
        (0.5, [0] * 20 + [1], "0.5 is nothing of the 1 training image of the class `class 1`"),
    ],
)
def test_a_class_with_too_few_images_is_named(share, labels, found):
    with pytest.raises(DataError, match=found) as caught:
        with_validation(numbered(labels, 2), share, 0)
    assert caught.value.where == "data.validation"


def test_a_class_without_images_needs_none_for_validation():
    data = with_validation(numbered([0] * 10 + [2] * 10, 3), 0.2, 0)
    assert data.validation.label_counts(3).tolist() == [2, 0, 2]


def test_masks_give_a_share_of_all_images():
    images = torch.arange(30, dtype=torch.uint8).reshape(30, 1, 1, 1)
    pair = (images, images[:, 0])
    data = with_validation(in_memory("masks", pair, pair, tuple("ab"), void=255), 0.2, 3)
    numbers = [split.images.flatten().tolist() for split in (data.validation, data.train)]
    assert (len(numbers[0]), sorted(numbers[0] + numbers[1])) == (6, list(range(30)))
    assert torch.equal(data.validation.labels, data.validation.images[:, 0])


@dataclass(frozen=True)
class Numbers(FileSplit):
    """Images whose pixel is their number, plus one where they are augmented."""

    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self):
        return 1, 1, 1

    def item(self, index, generator):
        value = index + (generator is not None)
        return torch.full((1, 1, 1), value, dtype=torch.uint8), torch.tensor(self.labels[index])

    def image_labels(self):
        return torch.tensor(self.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_read_from_files_are_divided_too(workers):
    files = Numbers((0, 1) * 20)
    whole = Dataset("files", files, files, ("a", "b"))
    data = with_validation(whole, 0.25, 1)
    assert isinstance(data.validation, PartOfFiles)
    assert data.validation.label_counts(2).tolist() == [5, 5]
    seen = []
    for split in (data.validation, data.train):
        images, labels = split.read(range(len(split)))
        seen += images.flatten().tolist()
        assert labels.tolist() == [number % 2 for number in images.flatten().tolist()]
        first = next(stream(split, [[(0, 5), (1, None)]], workers))[0].flatten().tolist()
        assert first == [images[0].item() + 1, images[1].item()]
    assert sorted(seen) == list(range(40))
