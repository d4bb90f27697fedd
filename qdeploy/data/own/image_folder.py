"""Images in one folder per class as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from qdeploy.data.dataset import Dataset
from qdeploy.data.files import UNREADABLE, open_image
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of, place_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import ImageFolder, Pictures

SUFFIXES = (".png", ".jpg", ".jpeg")
# In memory, as bytes; more than this is for the layout of `imagenet`, which is read as it trains.
MAX_BYTES = 1 << 32
GREY_MODES = ("1", "L", "LA")
_LAYOUT = (
    "lay the images out as CLASS/*.png, or train/CLASS/*.png with test/CLASS/*.png and, if there "
    "is one, val/CLASS/*.png"
)
Pixels = npt.NDArray[np.uint8]


def load(folder: Path | None, settings: ImageFolder, observer: Observer) -> Dataset:
    """The images below `data.path`, in memory.

    Raises:
        DataError: there are none, a class has none, one cannot be read, they differ in size and the
            recipe has no `data.image_size`, or they are too many.
    """
    root = place_of(settings, folder)
    if not root.is_dir():
        raise DataError("images are in folders, and this is a file", where=str(root), do=_LAYOUT)
    parts = _parts(root)
    files = {key: _files(place) for key, place in parts.items()}
    written = [np.array([path.parent.name for path in paths]) for paths in files.values()]
    indices, names = labelled(written, settings, root)
    every = [path for paths in files.values() for path in paths]
    grey = settings.colours == "grey" or (settings.colours == "auto" and all(map(is_grey, every)))
    found = {}
    with observer.meter("reading images", len(every), "images") as bar:
        for (key, paths), labels in zip(files.items(), indices, strict=True):
            frames: list[Pixels] = []
            for path in paths:
                frame = picture(path, grey, settings)
                check_size(frame, frames, path, len(every))
                frames.append(frame)
                bar.advance(1)
            found[key] = Part(np.stack(frames), labels)
    return dataset_of(found, names, settings, root, observer)


def _parts(root: Path) -> dict[str, Path]:
    """Folders of class folders. Where there is no `test`, `val` is the test set."""
    if not (root / TRAIN).is_dir():
        return {TRAIN: root}
    there = {key: root / key for key in (TRAIN, VALIDATION, TEST) if (root / key).is_dir()}
    if TEST not in there and VALIDATION in there:
        there[TEST] = there.pop(VALIDATION)
    return there


def _files(place: Path) -> list[Path]:
    folders = sorted(one for one in place.iterdir() if one.is_dir() and one.name[0] != ".")
    found: list[Path] = []
    for one in folders:
        images = sorted(path for path in one.iterdir() if path.suffix.lower() in SUFFIXES)
        if not images:
            raise DataError(
                f"the class `{one.name}` has no images",
                where=str(one),
                why=f"it holds no {' or '.join(SUFFIXES)} files",
                do="add some, or remove the folder",
            )
        found += images
    if not found:
        raise DataError("there are no folders of images", where=str(place), do=_LAYOUT)
    return found


def is_grey(path: Path) -> bool:
    """Whether an image has no colours.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open_image(path) as image:
            return image.mode in GREY_MODES
    except UNREADABLE as error:
        raise damaged(path, error) from error


def picture(path: Path, grey: bool, settings: ImageFolder) -> Pixels:
    """An image, (C, H, W), brought to the size of the recipe.

    Raises:
        DataError: it cannot be read, or has more than 8 bits.
    """
    try:
        with open_image(path) as image:
            return pixels_of(image, grey, settings)
    except UNREADABLE as error:
        raise damaged(path, error) from error


def pixels_of(image: Image.Image, grey: bool, settings: Pictures) -> Pixels:
    """An opened image, (C, H, W), brought to the size of the recipe.

    Raises:
        ValueError: it has more than 8 bits; `UNREADABLE` has what else Pillow raises.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError("its pixels have more than 8 bits")
    pixels: Image.Image = image.convert("L" if grey else "RGB")
    size = settings.image_size
    if size is not None and pixels.size != (size, size):
        pixels = resized(pixels, size, settings.resize)
    array = np.asarray(pixels, dtype=np.uint8)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def resized(
    image: Image.Image, size: int, policy: str, how: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """An image of `size` squared, by a policy of `ImageFolder.resize`."""
    square = size, size
    if policy == "crop":
        return ImageOps.fit(image, square, how)
    if policy == "pad":
        return ImageOps.pad(image, square, how)
    return image.resize(square, how)


def check_size(frame: Pixels, before: list[Pixels], path: Path, count: int) -> None:
    """Refuse an image of another size than those before it, and more than fit into memory.

    Args:
        count: of images in all.

    Raises:
        DataError: naming the image.
    """
    if before and frame.shape != before[0].shape:
        sizes = " and ".join(f"{one.shape[1]}x{one.shape[2]}" for one in (before[0], frame))
        raise DataError(
            f"images differ in size: {sizes} (height x width)",
            where=str(path),
            do="set data.image_size, to which all are brought",
        )
    if frame.nbytes * count > MAX_BYTES:
        raise DataError(
            f"{count:,} images of {frame.nbytes:,} bytes do not fit into memory",
            where=str(path),
            why=f"more than {MAX_BYTES >> 30} GiB are not held",
            do="set a smaller data.image_size; `imagenet` reads large sets as it trains",
        )


def damaged(path: Path, error: Exception) -> DataError:
    """The error for an image that cannot be read."""
    return DataError(
        f"the image `{path.name}` cannot be read: {error}",
        where=str(path),
        do="get the file again, or remove it",
    )
