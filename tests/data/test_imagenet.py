"""ImageNet's folder layout: labels, crops, and what incomplete trees are told."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from data_trees import write_image, write_imagenet
from PIL import Image

from qdeploy.data import imagenet
from qdeploy.data.load import data_spec, load_dataset
from qdeploy.errors import DataError
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.data import Data


@pytest.fixture
def root(tmp_path) -> Path:
    return write_imagenet(tmp_path)


def settings(**options) -> Data:
    return Data.model_validate({"name": "imagenet", "image_size": 32, "classes": 3, **options})


def opened(root: Path, observer: Observer = SILENT, **options):
    return load_dataset(settings(**options), root.parent, observer)


def test_labels_are_the_class_folders_in_order(root):
    data = opened(root)
    assert data.classes == ("n01440764", "n01440765", "n01440766")
    images, labels = data.train.read(range(15))
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert images.shape == (15, 3, 32, 32)
    assert images.dtype == torch.uint8
    for image, label in zip(images, labels, strict=True):
        assert float(image[0].float().mean()) == pytest.approx(60 * (int(label) + 1), abs=4)


def test_the_recipe_decides_size_and_number_of_classes():
    spec = data_spec(settings())
    assert (spec.shape, spec.classes) == ((3, 32, 32), 3)
    assert data_spec("imagenet").shape == (3, 224, 224)


@pytest.mark.parametrize(("width", "height"), [(90, 60), (61, 200), (16, 16), (2000, 1500)])
def test_test_images_are_the_middle_of_the_scaled_image(root, width, height):
    path = root / "val" / "n01440764" / "n01440764_0.JPEG"
    ramp = Image.linear_gradient("L").rotate(90).resize((width, height))
    ramp.convert("RGB").save(path, quality=98)
    image = opened(root).test.read([0])[0][0].float()
    # A ramp over the width: its middle square of 224/256 of the shorter side goes from a to b.
    side = min(width, height) * 224 / 256
    low, high = (255 * (width / 2 + sign * side / 2) / width for sign in (-1, 1))
    columns = image[0].mean(0)
    first, last = sorted((float(columns[0]), float(columns[-1])))
    assert first == pytest.approx(low, abs=8)
    assert last == pytest.approx(high, abs=8)


def test_training_crops_vary_in_place_size_and_direction_and_a_seed_fixes_them(root):
    write_image(root / "train" / "n01440764" / "n01440764_0.JPEG", 90, 60)
    split = opened(root, augment="resized-crop-flip").train
    crops = [split.item(0, torch.Generator().manual_seed(seed))[0] for seed in range(20)]
    assert len({crop.numpy().tobytes() for crop in crops}) == 20
    assert all(crop.shape == (3, 32, 32) for crop in crops)
    assert torch.equal(crops[3], split.item(0, torch.Generator().manual_seed(3))[0])


def line_through(values: torch.Tensor) -> tuple[float, float]:
    """First and last of 32 values on a line, fitted without those at the ends."""
    at = torch.arange(2.0, 30.0)
    slope = float(((at - at.mean()) * (values[2:30] - values[2:30].mean())).sum()) / float(
        ((at - at.mean()) ** 2).sum()
    )
    middle = float(values[2:30].mean())
    return middle - 15.5 * slope, middle + 15.5 * slope


def test_training_crops_have_the_areas_ratios_places_and_directions_of_the_paper(root):
    # Red grows by one with each pixel to the right, green with each one down: a crop tells its box.
    side, count = 200, 400
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    ramps = torch.stack([columns, rows, torch.zeros_like(rows)], dim=-1).to(torch.uint8)
    path = root / "train" / "n01440764" / "n01440764_0.JPEG"
    Image.fromarray(ramps.numpy()).save(path, format="PNG")
    split = opened(root, augment="resized-crop-flip").train
    areas, ratios, mirrored, across, down = [], [], [], [], []
    for seed in range(count):
        crop = split.item(0, torch.Generator().manual_seed(seed))[0].float()
        first, last = line_through(crop[0].mean(0))
        top, bottom = line_through(crop[1].mean(1))
        mirrored.append(first > last)
        left, right = min(first, last), max(first, last)
        # Between the centres of 32 pixels lie 31/32 of the box.
        width, height = (right - left) * 32 / 31, (bottom - top) * 32 / 31
        areas.append(width * height / side**2)
        ratios.append(width / height)
        for places, begin, length in ((across, left, width), (down, top, height)):
            if length < 0.8 * side:
                places.append((begin - length / 64 + 0.5) / (side - length))
    assert 0.4 * count < sum(mirrored) < 0.6 * count
    assert 0.07 < min(areas) < 0.12
    assert 0.85 < max(areas) < 1.03
    assert 0.2 * count < sum(area < 0.3 for area in areas) < 0.45 * count
    assert 0.73 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.37
    for places in (across, down):
        assert -0.02 < min(places) < 0.05
        assert 0.95 < max(places) < 1.02
        assert 0.4 < sum(places) / len(places) < 0.6


def test_crops_of_very_long_images_exist(root):
    write_image(root / "train" / "n01440764" / "n01440764_0.JPEG", 400, 12)
    split = opened(root, augment="resized-crop-flip").train
    for seed in range(10):
        assert split.item(0, torch.Generator().manual_seed(seed))[0].shape == (3, 32, 32)


def test_missing_folders_are_named_with_layout_and_checksum(root):
    shutil.rmtree(root / "val" / "n01440765")
    with pytest.raises(DataError) as caught:
        opened(root)
    assert "val/n01440765/ not found" in caught.value.what
    for part in ("imagenet/train/WNID/*.JPEG", "MD5 1d675b47d978889d74fa0da5fadfb00e"):
        assert part in (caught.value.do or "")
    shutil.rmtree(root / "train")
    with pytest.raises(DataError, match="train/ not found"):
        opened(root)


def test_another_number_of_classes_is_refused(root):
    with pytest.raises(DataError, match="3 class folders where 1,000 are expected"):
        load_dataset("imagenet", root.parent)


@pytest.fixture
def thousand(tmp_path) -> Path:
    """A tree of 1,000 classes with a training and a validation image each."""
    root = tmp_path / "imagenet"
    write_image(tmp_path / "image.jpg", 20, 20)
    for part in ("train", "val"):
        for label in range(1000):
            folder = root / part / f"n{label:08}"
            folder.mkdir(parents=True)
            os.link(tmp_path / "image.jpg", folder / "0.JPEG")
    return root


def test_an_imagenet_that_lacks_images_is_refused_with_their_numbers(thousand):
    with pytest.raises(DataError) as caught:
        load_dataset("imagenet", thousand.parent)
    assert "`train` has 1,000 images where 1,281,167 are published" in caught.value.what
    assert "`val` has 1,000 images where 50,000 are published" in caught.value.what
    assert "data.partial: true" in (caught.value.do or "")


def test_a_partial_imagenet_is_taken_when_the_recipe_says_so_and_noted(thousand):
    notes: list[str] = []
    data = opened(thousand, Observer(note=notes.append), classes=None, partial=True)
    assert (len(data.train), len(data.test), len(data.classes)) == (1000, 1000, 1000)
    assert any("`val` has 1,000 images where 50,000 are published" in note for note in notes)


def test_an_imagenet_of_the_published_size_is_taken_in_silence(thousand, monkeypatch):
    monkeypatch.setattr(imagenet, "PUBLISHED", {"train": 1000, "val": 1000})
    notes: list[str] = []
    assert len(opened(thousand, Observer(note=notes.append), classes=None).test) == 1000
    assert notes == []
    os.link(thousand / "val" / "n00000000" / "0.JPEG", thousand / "val" / "n00000000" / "1.JPEG")
    with pytest.raises(DataError, match="`val` has 1,001 images where 1,000 are published"):
        opened(thousand, classes=None)


def test_an_empty_class_folder_is_named(root):
    for path in (root / "train" / "n01440766").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no images in train/n01440766/"):
        opened(root)


def test_validation_images_all_in_one_folder_are_explained(root):
    val = root / "val"
    for folder in list(val.iterdir()):
        for path in folder.iterdir():
            path.rename(val / path.name)
        folder.rmdir()
    with pytest.raises(DataError, match="contains files, not class folders"):
        opened(root)


@pytest.mark.parametrize("keep", [0, 200])
def test_a_damaged_image_is_named_when_it_is_read(root, keep):
    path = root / "train" / "n01440765" / "n01440765_1.JPEG"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"`n01440765_1\.JPEG` of ImageNet is damaged"):
        opened(root).train.read([6])
