"""ImageNet's folder layout: labels, crops, and what incomplete trees are told."""

import shutil
from pathlib import Path

import pytest
import torch
from data_trees import write_image, write_imagenet

from qdeploy.data.registry import data_spec, load_dataset
from qdeploy.errors import DataError
from qdeploy.recipe.data import Data


@pytest.fixture
def root(tmp_path) -> Path:
    return write_imagenet(tmp_path)


def settings(**options) -> Data:
    return Data.model_validate({"name": "imagenet", "image_size": 32, "classes": 3, **options})


def opened(root: Path, **options):
    return load_dataset(settings(**options), root.parent)


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
    from PIL import Image

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
    with pytest.raises(DataError, match="holds files and no class folders"):
        opened(root)


@pytest.mark.parametrize("keep", [0, 200])
def test_a_damaged_image_is_named_when_it_is_read(root, keep):
    path = root / "train" / "n01440765" / "n01440765_1.JPEG"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"`n01440765_1\.JPEG` of ImageNet is damaged"):
        opened(root).train.read([6])
