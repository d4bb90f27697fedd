"""PASCAL VOC 2012 segmentation: 1,464 training and 1,449 validation images with masks, 20 classes
and background; read from its files batch by batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from qdeploy.bounded import is_named_file, read_bounded
from qdeploy.data.augment import Batch, ScaleCropFlip, window
from qdeploy.data.dataset import Dataset
from qdeploy.data.files import check_counts, few, incomplete, needed_folder, read_image, read_mask
from qdeploy.data.stream import FileSplit
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data, Shape

TITLE = "VOC 2012"
HOME = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012"
FOLDER = Path("VOCdevkit") / "VOC2012"
ARCHIVE, ARCHIVE_MD5 = "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"
SIZE = 513
MAX_LIST_BYTES = 1 << 20
LONGEST = 60  # characters of a name; those published have 11
VOID = 255
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
LISTS = Path("ImageSets") / "Segmentation"
COUNTS = {"train": 1464, "val": 1449}
LAYOUT = "\n".join(
    [
        f"get {ARCHIVE} (MD5 {ARCHIVE_MD5}) from {HOME} and unpack it to:",
        f"    {FOLDER}/{LISTS}/train.txt     1,464 names, one per line",
        f"    {FOLDER}/{LISTS}/val.txt       1,449 names",
        f"    {FOLDER}/JPEGImages/NAME.jpg",
        f"    {FOLDER}/SegmentationClass/NAME.png   classes 0 to 20, and 255 for void",
    ]
)


@dataclass(frozen=True)
class VocSplit(FileSplit):
    """Images in a square of `size` pixels, with masks.

    A test image larger than the square is scaled down to it; a smaller one is centred in it. The
    area around it is grey, and void in the mask. Training images start from the same scale.
    """

    root: Path
    names: list[str] = field(repr=False)
    size: int
    augmented: bool

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> Shape:
        return 3, self.size, self.size

    def item(self, index: int, generator: torch.Generator | None) -> Batch:
        name = self.names[index]
        image = read_image(self.root / "JPEGImages" / f"{name}.jpg", TITLE)
        path = self.root / "SegmentationClass" / f"{name}.png"
        mask = read_mask(path, TITLE, image.size, len(CLASSES), VOID)
        pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None]
        labels = torch.from_numpy(mask.copy())[None]
        fit = min(1.0, self.size / max(image.size))
        if generator is None or not self.augmented:
            middle = torch.tensor([0.5])
            scale, place, flip = torch.tensor([fit]), (middle, middle), torch.tensor([False])
        else:
            drawn, down, right, flip = ScaleCropFlip(self.size, self.size, VOID).draw(1, generator)
            scale, place = drawn * fit, (down, right)
        out, masks = window(pixels, labels, (self.size, self.size), scale, place, flip, VOID)
        return out[0], masks[0]


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """The lists below `folder`/VOCdevkit/VOC2012, after a check that all their files exist; images
    are read later.

    Raises:
        DataError: when lists, images or masks are missing, a name occurs twice, or the lists do not
            have the published lengths and the recipe does not set `data.partial`.
    """
    root = needed_folder("voc2012", folder, LAYOUT) / FOLDER
    missing = [
        f"{LISTS}/{part}.txt" for part in COUNTS if not (root / LISTS / f"{part}.txt").is_file()
    ]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    size = settings.image_size or SIZE
    names = {part: _names(root, part) for part in COUNTS}
    both = sorted(set(names["train"]) & set(names["val"]))
    if both:
        raise DataError(
            f"both lists of VOC 2012, train.txt and val.txt, contain {few(both)}",
            where=str(root / LISTS),
            why="a test on training images says nothing about accuracy",
            do=LAYOUT,
        )
    counts = [
        (root / LISTS / f"{part}.txt", len(names[part]), count) for part, count in COUNTS.items()
    ]
    check_counts(TITLE, counts, settings.partial, LAYOUT, observer)
    missing = [
        path
        for part in COUNTS
        for name in names[part]
        for path in (f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png")
        if not is_named_file(root / path)
    ]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    augmented = settings.augment == "scale-crop-flip"
    return Dataset(
        "voc2012",
        VocSplit(root, names["train"], size, augmented),
        VocSplit(root, names["val"], size, augmented=False),
        CLASSES,
        task="segmentation",
        void=VOID,
    )


def _names(root: Path, part: str) -> list[str]:
    path = root / LISTS / f"{part}.txt"
    try:
        names = read_bounded(path, MAX_LIST_BYTES).split()
        if any("\x00" in name or "/" in name or len(name) > LONGEST for name in names):
            raise ValueError("a name in it is none of a file")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the list `{path.name}` of VOC 2012 cannot be read: {error}",
            where=str(path),
            do=LAYOUT,
        ) from error
    if not names:
        raise DataError(f"the list `{path.name}` of VOC 2012 is empty", where=str(path), do=LAYOUT)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(
            f"the list `{path.name}` of VOC 2012 contains {few(twice)} more than once",
            where=str(path),
            do="remove the lines that repeat a name, or get the list again\n" + LAYOUT,
        )
    return names
