"""Folders of images and masks: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError
from qdeploy.recipe.data import data_section


def read(folder: Path, **keys: Any) -> Any:
    given = {"name": "mask-folder", "path": ".", **keys}
    return load_dataset(data_section(given).model_validate(given), folder)


def pair(folder: Path, name: str, size: tuple[int, int] = (8, 12)) -> np.ndarray:
    """An image whose left half is dark, and its mask: 1, 0, and void in the first row."""
    random = np.random.default_rng(len(name) + ord(name[-1]))
    mask = np.zeros(size, np.uint8)
    mask[:, : size[1] // 2] = 1
    pixels = random.integers(0, 80, (*size, 3), dtype=np.uint8) + 150 * (1 - mask[..., None])
    mask[0] = 255
    for kind, array in (("images", pixels.astype(np.uint8)), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / kind / f"{name}.png")
    return mask


def test_every_image_has_its_mask(tmp_path: Path) -> None:
    masks = [pair(tmp_path, f"n{index}") for index in range(10)]
    data = read(tmp_path)
    assert data.task == "segmentation" and data.void == 255
    assert data.shape == (3, 8, 12) and data.classes == ("0", "1")
    assert [len(split) for split in data.splits.values()] == [8, 2]
    for image, mask in zip(data.train_images.numpy(), data.train_labels.numpy(), strict=True):
        assert np.array_equal(mask, masks[0])
        assert (image[:, 1:] >= 150).all(0)[mask[1:] == 0].all()


def test_parts_are_folders_and_sizes_come_to_one(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        for index in range(count):
            pair(tmp_path / part, f"{part}{index}", (20 + index, 40))
    for policy in ("crop", "pad", "squash"):
        data = read(tmp_path, image_size=16, resize=policy, class_names=["road", "sky"])
        assert [len(split) for split in data.splits.values()] == [3, 1, 2]
        assert data.shape == (3, 16, 16) and data.classes == ("road", "sky")
        masks = data.train_labels.numpy()
        assert set(np.unique(masks)) <= {0, 1, 255}
        # Around the picture there is nothing to learn.
        assert (masks[:, -1] == 255).all() == (policy == "pad")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("no mask", "the image `a` has no mask"),
        ("no image", "the mask `a` has no image"),
        ("size", "the mask `a.png` has 5x5 pixels, its image 8x12"),
        ("colours", "the image `a.png` cannot be read: it has colours"),
        ("number", "the mask `a.png` has the number 7, which is none of the 2 classes"),
        ("damaged", "the image `a.png` cannot be read"),
        ("empty", "there are no images"),
        ("missing", "there is no folder `masks`"),
        ("one class", "the masks have one class only"),
    ],
)
def test_folders_that_are_no_masks_are_refused(tmp_path: Path, harm: str, what: str) -> None:
    for name in "abcdef":
        pair(tmp_path, name)
    image, mask = (tmp_path / kind / "a.png" for kind in ("images", "masks"))
    keys: dict[str, Any] = {}
    if harm == "no mask":
        mask.unlink()
    if harm == "no image":
        image.unlink()
    if harm == "size":
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(mask)
    if harm == "colours":
        Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(mask)
    if harm == "number":
        Image.fromarray(np.full((8, 12), 7, np.uint8)).save(mask)
        keys["class_names"] = ["a", "b"]
    if harm == "damaged":
        mask.write_bytes(mask.read_bytes()[:40])
    for path in [*tmp_path.glob("*/*.png")]:
        if harm == "empty":
            path.unlink()
        if harm == "one class" and path.parent.name == "masks":
            Image.fromarray(np.zeros((8, 12), np.uint8)).save(path)
    if harm == "missing":
        for path in (tmp_path / "masks").iterdir():
            path.unlink()
        (tmp_path / "masks").rmdir()
    with pytest.raises(DataError, match=what):
        read(tmp_path, **keys)
