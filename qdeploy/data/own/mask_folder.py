"""Images with a mask each as a data set for segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from qdeploy.data.dataset import Dataset
from qdeploy.data.files import UNREADABLE, open_image
from qdeploy.data.own.image_folder import SUFFIXES, check_size, damaged, is_grey, picture, resized
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of, place_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import MAX_CLASSES, MaskFolder

IMAGES, MASKS = "images", "masks"
_LAYOUT = (
    "lay them out as images/NAME.png (or .jpg) and masks/NAME.png, also below train, val, test"
)
Pixels = npt.NDArray[np.uint8]


def load(folder: Path | None, settings: MaskFolder, observer: Observer) -> Dataset:
    """The images and masks below `data.path`, in memory.

    Raises:
        DataError: there are none, one has no partner or cannot be read, they differ in size, or a
            mask has a number that is no class.
    """
    root = place_of(settings, folder)
    pairs = {key: _pairs(place) for key, place in _places(root).items()}
    every = [pair for part in pairs.values() for pair in part]
    grey = settings.colours == "grey" or (
        settings.colours == "auto" and all(is_grey(image) for image, _ in every)
    )
    read: dict[str, tuple[list[Pixels], list[Pixels]]] = {}
    with observer.meter("reading images", len(every), "images") as bar:
        for key, part in pairs.items():
            images, masks = read[key] = [], []
            for image, mask in part:
                frame, labels = picture(image, grey, settings), _mask(mask, settings)
                check_size(frame, images, image, len(every))
                if labels.shape != frame.shape[1:]:
                    raise DataError(
                        f"the mask `{mask.name}` has {labels.shape[0]}x{labels.shape[1]} pixels, "
                        f"its image {frame.shape[1]}x{frame.shape[2]} (height x width)",
                        where=str(mask),
                        do="bring both to one size, or set data.image_size",
                    )
                images.append(frame)
                masks.append(labels)
                bar.advance(1)
    names = _names(read, pairs, settings, root)
    parts = {key: Part(np.stack(images), np.stack(masks)) for key, (images, masks) in read.items()}
    return dataset_of(parts, names, settings, root, observer, settings.void)


def _places(root: Path) -> dict[str, Path]:
    if (root / TRAIN).is_dir():
        return {key: root / key for key in (TRAIN, VALIDATION, TEST) if (root / key).is_dir()}
    return {TRAIN: root}


def _pairs(place: Path) -> list[tuple[Path, Path]]:
    """Image and mask of each name."""
    found: list[dict[str, Path]] = []
    for name, suffixes in ((IMAGES, SUFFIXES), (MASKS, (".png",))):
        if not (place / name).is_dir():
            raise DataError(f"there is no folder `{name}`", where=str(place), do=_LAYOUT)
        files = sorted((place / name).iterdir())
        found.append({one.stem: one for one in files if one.suffix.lower() in suffixes})
    images, masks = found
    alone = sorted(images.keys() ^ masks.keys())
    if alone:
        has, lacks = ("mask", "image") if alone[0] in masks else ("image", "mask")
        raise DataError(
            f"the {has} `{alone[0]}` has no {lacks}",
            where=str((masks if has == "mask" else images)[alone[0]]),
            do=_LAYOUT,
        )
    if not images:
        raise DataError("there are no images", where=str(place / IMAGES), do=_LAYOUT)
    return [(images[name], masks[name]) for name in images]


def _mask(path: Path, settings: MaskFolder) -> Pixels:
    """Numbers of classes, (H, W)."""
    try:
        with open_image(path) as image:
            if image.mode not in ("L", "P", "1"):
                raise ValueError(
                    f"it has colours or more than 8 bits (mode {image.mode}), and a mask has one "
                    "number for each pixel"
                )
            numbers: Image.Image = image.copy()
        size = settings.image_size
        if size is not None and numbers.size != (size, size):
            if settings.resize == "pad":
                return _padded(numbers, size, settings.void)
            # Numbers of classes have nothing in between.
            numbers = resized(numbers, size, settings.resize, Image.Resampling.NEAREST)
        return np.asarray(numbers, dtype=np.uint8)
    except UNREADABLE as error:
        raise damaged(path, error) from error


def _padded(numbers: Image.Image, size: int, void: int) -> Pixels:
    """With void around it; the middle lies where `resized` puts that of the image."""
    inside = resized(numbers, size, "pad", Image.Resampling.NEAREST)
    whole = Image.new("L", numbers.size, 1)
    there = np.asarray(resized(whole, size, "pad", Image.Resampling.NEAREST))
    return np.where(there == 1, np.asarray(inside, dtype=np.uint8), np.uint8(void))


def _names(
    read: dict[str, tuple[list[Pixels], list[Pixels]]],
    pairs: dict[str, list[tuple[Path, Path]]],
    settings: MaskFolder,
    root: Path,
) -> tuple[str, ...]:
    largest = 0
    given = settings.class_names
    for key, (_, masks) in read.items():
        for (_, path), mask in zip(pairs[key], masks, strict=True):
            counted = mask[mask != settings.void]
            here = int(counted.max()) if counted.size else 0
            if given is not None and here >= len(given):
                raise DataError(
                    f"the mask `{path.name}` has the number {here}, which is none of the "
                    f"{len(given)} classes",
                    where=str(path),
                    why=f"they are 0 to {len(given) - 1}, and {settings.void} does not count",
                    do="correct the mask, data.class_names or data.void",
                )
            largest = max(largest, here)
    if given is not None:
        return given
    if not 1 <= largest < MAX_CLASSES:
        raise DataError(
            "the masks have one class only",
            where=str(root),
            why=f"all pixels are 0, or {settings.void}, which does not count",
            do="check the masks: their pixels are numbers of classes from 0 on",
        )
    return tuple(map(str, range(largest + 1)))
