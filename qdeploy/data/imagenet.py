"""ImageNet (ILSVRC 2012) as JPEG files in one folder per class; read from its files batch by batch.

Training images: a crop of random area (8 to 100 %) and aspect ratio (3/4 to 4/3), scaled to the
network's size, and mirrored with probability 1/2. Test images: the shorter side scaled to 256/224
of the network's size, then the centre cropped.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from qdeploy.data.augment import Batch
from qdeploy.data.dataset import Dataset, counts_of
from qdeploy.data.files import (
    UNREADABLE,
    check_counts,
    few,
    incomplete,
    needed_folder,
    open_image,
    unreadable,
)
from qdeploy.data.stream import FileSplit
from qdeploy.errors import DataError
from qdeploy.observer import Meter, Observer
from qdeploy.recipe.data import Data, Shape

TITLE = "ImageNet"
HOME = "https://image-net.org/challenges/LSVRC/2012"
FOLDER = "imagenet"
SIZE = 224
CLASS_COUNT = 1000
PUBLISHED = {"train": 1_281_167, "val": 50_000}
SUFFIXES = (".jpeg", ".jpg", ".png")
AREA, ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
LAYOUT = "\n".join(
    [
        "get ILSVRC2012_img_train.tar (MD5 1d675b47d978889d74fa0da5fadfb00e) and "
        "ILSVRC2012_img_val.tar",
        f"(MD5 29b22e2961454d5413ddabcf34fc5622) from {HOME}",
        "and lay them out by class, WNID being n01440764 and so on:",
        f"    {FOLDER}/train/WNID/*.JPEG   1,000 folders, 1,281,167 images",
        f"    {FOLDER}/val/WNID/*.JPEG     the same 1,000 folders, 50,000 images",
        "for another data set in this layout, set data.classes to its number of folders",
    ]
)


@dataclass(frozen=True)
class FolderSplit(FileSplit):
    """Images in one folder per class.

    Args:
        root: folder of the class folders.
        folders: their names, by label.
        files: file names as bytes, (N,); one array, because a million objects would be copied into
            every worker process as their reference counts change.
        labels: int64 (N,).
        size: height and width of the images.
    """

    root: Path
    folders: tuple[str, ...] = field(repr=False)
    files: npt.NDArray[np.bytes_] = field(repr=False)
    labels: npt.NDArray[np.int64] = field(repr=False)
    size: int
    augmented: bool

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> Shape:
        return 3, self.size, self.size

    def image_labels(self) -> torch.Tensor | None:
        return torch.from_numpy(self.labels)

    def label_counts(self, classes: int) -> torch.Tensor:
        return counts_of(torch.from_numpy(self.labels), classes)

    def item(self, index: int, generator: torch.Generator | None) -> Batch:
        label = int(self.labels[index])
        path = self.root / self.folders[label] / os.fsdecode(bytes(self.files[index]))
        try:
            with open_image(path) as image:
                if generator is None or not self.augmented:
                    pixels = _middle(image, self.size)
                else:
                    pixels = _resized_crop(image, self.size, generator)
                array = np.asarray(pixels)
        except UNREADABLE as error:
            raise unreadable(TITLE, path, error) from error
        return torch.from_numpy(array.transpose(2, 0, 1).copy()), torch.tensor(label)


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """The file names below `folder`/imagenet.

    Raises:
        DataError: when folders are missing or empty, or their number is not that of the classes,
            and, with 1,000 classes, when the number of images is not the published one and the
            recipe does not set `data.partial`.
    """
    root, count = (
        needed_folder("imagenet", folder, LAYOUT) / FOLDER,
        settings.classes or CLASS_COUNT,
    )
    missing = [f"{part}/" for part in PUBLISHED if not (root / part).is_dir()]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    classes = {part: _folders(root / part) for part in PUBLISHED}
    everything = sorted(set(classes["train"]) | set(classes["val"]))
    missing = [
        f"{part}/{name}/" for part in PUBLISHED for name in everything if name not in classes[part]
    ]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    if len(everything) != count:
        raise DataError(
            f"ImageNet has {len(everything):,} class folders where {count:,} are expected",
            where=str(root),
            do=LAYOUT,
        )
    size = settings.image_size or SIZE
    with observer.meter("listing imagenet", 2 * count, "folders") as bar:
        train, test = (
            _listed(root / part, classes[part], size, bar, settings.augment == "resized-crop-flip")
            for part in PUBLISHED
        )
    if count == CLASS_COUNT:
        counts = [
            (root / part, len(split), PUBLISHED[part])
            for part, split in (("train", train), ("val", test))
        ]
        check_counts(TITLE, counts, settings.partial, LAYOUT, observer)
    return Dataset("imagenet", train, test, tuple(everything))


def _folders(part: Path) -> list[str]:
    with os.scandir(part) as entries:
        names = [(entry.name, entry.is_dir()) for entry in entries]
    folders = sorted(name for name, is_folder in names if is_folder)
    if not folders and names:
        raise DataError(
            f"`{part}` contains files, not class folders",
            where=str(part),
            why="the label of an image is the name of its folder; the published archive of the "
            "validation images has them all in one folder",
            do="move every image into the folder of its class\n" + LAYOUT,
        )
    return folders


def _listed(part: Path, folders: list[str], size: int, bar: Meter, augmented: bool) -> FolderSplit:
    files: list[npt.NDArray[np.bytes_]] = []
    empty: list[str] = []
    for name in folders:
        with os.scandir(part / name) as entries:
            found = sorted(
                os.fsencode(entry.name)
                for entry in entries
                if entry.name.lower().endswith(SUFFIXES)
            )
        if not found:
            empty.append(f"{part.name}/{name}/")
        else:
            files.append(np.array(found))
        bar.advance(1)
    if empty:
        raise DataError(
            f"ImageNet is incomplete: no images in {few(empty)}",
            where=str(part),
            do=LAYOUT,
        )
    labels = np.repeat(np.arange(len(files)), [len(names) for names in files])
    return FolderSplit(
        part, tuple(folders), np.concatenate(files), labels.astype(np.int64), size, augmented
    )


def _middle(image: Image.Image, size: int) -> Image.Image:
    """The centre square of the image with its shorter side scaled to 256/224 of `size`."""
    short = round(size * 256 / 224)
    width, height = image.size
    _draft(image, min(width, height) / short)
    side = min(image.size) * size / short
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return _scaled(image, (left, top, left + side, top + side), size)


def _resized_crop(image: Image.Image, size: int, generator: torch.Generator) -> Image.Image:
    """A crop of random area and aspect ratio (Szegedy et al. 2015), mirrored or not."""
    width, height = image.size
    drawn = torch.rand((TRIES, 4), generator=generator).tolist()
    flip = bool(torch.randint(0, 2, (1,), generator=generator))
    box = None
    for area_part, aspect_part, left_part, top_part in drawn:
        area = (AREA[0] + (AREA[1] - AREA[0]) * area_part) * width * height
        low, high = (math.log(bound) for bound in ASPECT)
        aspect = math.exp(low + (high - low) * aspect_part)
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = int(left_part * (width - wide + 1)), int(top_part * (height - tall + 1))
            box = (left, top, left + wide, top + tall)
            break
    if box is None:  # an elongated image: the largest centre part with an allowed aspect ratio
        wide, tall = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
        left, top = (width - wide) // 2, (height - tall) // 2
        box = (left, top, left + wide, top + tall)
    _draft(image, min(box[2] - box[0], box[3] - box[1]) / size)
    shrunk_x, shrunk_y = image.width / width, image.height / height
    place = (box[0] * shrunk_x, box[1] * shrunk_y, box[2] * shrunk_x, box[3] * shrunk_y)
    out = _scaled(image, place, size)
    return out.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else out


def _draft(image: Image.Image, shrink: float) -> None:
    """Decode a JPEG at 1/2, 1/4 or 1/8 of its size where it is reduced by more anyway."""
    if shrink >= 2:
        image.draft("RGB", (math.ceil(image.width / shrink), math.ceil(image.height / shrink)))


def _scaled(image: Image.Image, box: tuple[float, float, float, float], size: int) -> Image.Image:
    # After rounding the box may extend slightly beyond the image.
    box = (max(0.0, box[0]), max(0.0, box[1]), min(image.width, box[2]), min(image.height, box[3]))
    return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=box)
