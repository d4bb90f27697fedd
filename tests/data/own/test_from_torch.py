"""A torch Dataset becomes a data set: what is read of it, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from qdeploy.data.own.from_torch import from_torch
from qdeploy.errors import DataError, PluginError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import TorchData


def settings(**keys: Any) -> TorchData:
    return TorchData.model_validate({"name": "torch", **keys})


def codes(count: int = 40, classes: int = 2, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 4, 5), generator=generator, dtype=torch.uint8)
    return TensorDataset(images, torch.arange(count) % classes)


class Samples(Dataset[Any]):
    """Given samples, with the names of the classes where there are any."""

    def __init__(self, samples: list[Any], classes: list[str] | None = None) -> None:
        self.samples = samples
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def test_bytes_stay_as_they_are_and_a_test_set_is_drawn() -> None:
    given = codes()
    data = from_torch(given, settings(), "mine")
    assert data.shape == (1, 4, 5) and data.scaling is None
    assert data.classes == ("0", "1")
    assert data.test_labels.bincount().tolist() == [4, 4]
    both = torch.cat([data.train_images, data.test_images])
    assert sorted(map(bytes, both.numpy())) == sorted(map(bytes, given.tensors[0].numpy()))


def test_a_pair_and_a_mapping_are_the_parts() -> None:
    pair = from_torch((codes(), codes(10, seed=1)), settings(), "mine")
    assert (len(pair.train), len(pair.test), pair.validation) == (40, 10, None)
    parts = {"train": codes(), "val": codes(6, seed=2), "test": codes(10, seed=1)}
    data = from_torch(parts, settings(), "mine")
    assert [len(split) for split in data.splits.values()] == [40, 6, 10]


def test_real_values_get_the_ranges_of_the_training_set() -> None:
    x = torch.linspace(-1, 3, 80).reshape(20, 2, 2).contiguous()
    data = from_torch(TensorDataset(x, torch.arange(20) % 2), settings(), "mine")
    assert data.shape == (2, 1, 2)
    assert data.scaling is not None and len(data.scaling.low) == 2
    assert data.train_images.min() == 0 and data.train_images.max() == 255


def test_pictures_and_names_of_classes_are_those_of_torchvision() -> None:
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, (6, 7, 3), dtype=np.uint8) for _ in range(8)]
    whole = Samples(
        [(Image.fromarray(one), at % 2) for at, one in enumerate(pixels)], ["cat", "dog"]
    )
    data = from_torch((whole, Subset(whole, [0, 1])), settings(), "mine")
    assert data.classes == ("cat", "dog") and data.shape == (3, 6, 7)
    assert np.array_equal(data.train_images[3].numpy(), pixels[3].transpose(2, 0, 1))


def test_loaders_mappings_and_iterables_are_read_too() -> None:
    class Endless(IterableDataset[Any]):
        def __iter__(self) -> Any:
            yield from ({"image": x.numpy(), "label": int(y)} for x, y in codes())

    expected = from_torch(codes(), settings(), "mine")
    for given in (DataLoader(codes(), batch_size=7), Endless(), list(codes())):
        data = from_torch(given, settings(), "mine")
        assert data.train_images.equal(expected.train_images)
        assert data.test_labels.equal(expected.test_labels)


def test_random_samples_are_the_same_each_time_and_told() -> None:
    class Noisy(Samples):
        def __getitem__(self, index: int) -> Any:
            image, label = super().__getitem__(index)
            return image + torch.rand(image.shape) + np.random.rand(), label

    notes: list[str] = []
    given = Noisy([(torch.zeros(1, 2, 2), index % 2) for index in range(20)])
    before = torch.get_rng_state()
    one = from_torch(given, settings(), "mine", Observer(note=notes.append))
    assert torch.get_rng_state().equal(before)
    assert from_torch(given, settings(), "mine").train_images.equal(one.train_images)
    assert [note for note in notes if "differ each time" in note]


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([], "it has no samples"),
        ([(torch.zeros(2), 0, 1)], "sample 0 is a tuple of 3, no pair"),
        ([(torch.zeros(2), 0), (torch.zeros(3), 1)], r"sample 1 is float32 of shape \(3,\)"),
        ([("text", 0)], "the input of sample 0 is <U4"),
        ([(torch.zeros(2), [1, 2, 3])], "the label of sample 0 is a list"),
        ([(torch.tensor([np.nan]), 0)], "frame 0 of its input has a value that is no finite"),
        ([(np.zeros((6, 6, 3), np.uint8), 0)], "channels come first"),
        ({"training": []}, "its keys are training"),
        (3, "it is a int, which has no samples"),
    ],
)
def test_objects_that_are_no_data_set_are_refused(samples: Any, why: str) -> None:
    given = Samples(samples) if isinstance(samples, list) else samples
    with pytest.raises(DataError) as caught:
        from_torch(given, settings(), "mine")
    assert re.search(why, caught.value.why or "")


def test_one_class_and_labels_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="the data set has 1 class: `0`"):
        from_torch(codes(classes=1), settings(), "mine")
    with pytest.raises(DataError, match="the label `2` is none of the 2 classes"):
        from_torch(codes(classes=3), settings(class_names=["a", "b"]), "mine")


def test_an_object_that_raises_is_named_with_its_traceback() -> None:
    class Broken(Samples):
        def __getitem__(self, index: int) -> Any:
            raise KeyError("no such frame")

    with pytest.raises(PluginError) as caught:
        from_torch(Broken([1, 2]), settings(), "mine")
    assert caught.value.what == "the plug-in `mine` raised KeyError: 'no such frame'"
    assert 'raise KeyError("no such frame")' in (caught.value.why or "")
    assert "qdeploy/data/own" not in (caught.value.why or "")
