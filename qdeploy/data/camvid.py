"""CamVid in SegNet's layout and split: street images of 240x180 with masks of 11 classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qdeploy.data.dataset import Dataset, MemorySplit, in_memory
from qdeploy.data.files import incomplete, needed_folder, note_tree, read_image, read_mask
from qdeploy.errors import DataError
from qdeploy.observer import Meter, Observer
from qdeploy.recipe.data import Data

TITLE = "CamVid"
FOLDER = "camvid"
HOME = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid"
CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 11
WIDTH, HEIGHT = 240, 180
COUNTS = {"train": 367, "test": 233}
VALIDATION, VALIDATION_COUNT = "val", 101
# `tree_digest` of the files used for docs/results.md, without and with those of validation; copies
# differ in how they were scaled.
DIGEST = "b2efc6bc92146e6943224694de44f415"
VALIDATION_DIGEST = "1df3875cf9b391bd3c21c5008c1c491a"
LAYOUT = "\n".join(
    [
        f"get CamVid from {HOME} in SegNet's split, scaled to {WIDTH}x{HEIGHT} (masks by nearest",
        "neighbour), and lay it out like this:",
        f"    {FOLDER}/train/NAME.jpg        367 images, or .png",
        f"    {FOLDER}/trainannot/NAME.png   a mask for each: grey values 0 to 10, and 11 for void",
        f"    {FOLDER}/test/NAME.jpg         233 images",
        f"    {FOLDER}/testannot/NAME.png    a mask for each",
        f"    {FOLDER}/val/, valannot/       101 images and masks, for validation; can be left out",
        "for those used in docs/results.md,",
        "`export LC_ALL=C; md5sum test*/* train*/* val*/* | md5sum` there gives",
        f"    {VALIDATION_DIGEST}",
        f"and, without val*, {DIGEST}",
    ]
)


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """Read 367 training and 233 test images below `folder`/camvid, and the 101 of SegNet's
    validation set where there is a folder of them.

    Raises:
        DataError: when files are missing, damaged, of a wrong size, or have a label out of range.
    """
    root = needed_folder("camvid", folder, LAYOUT) / FOLDER
    chosen = any((root / name).is_dir() for name in (VALIDATION, f"{VALIDATION}annot"))
    counts = {**COUNTS, **({VALIDATION: VALIDATION_COUNT} if chosen else {})}
    pairs = {part: _pairs(root, part, count) for part, count in counts.items()}
    with observer.meter("reading camvid", sum(counts.values()), "images") as bar:
        read = {part: _read(pairs[part], bar) for part in counts}
    files = [path for part in counts for pair in pairs[part] for path in pair]
    digest = VALIDATION_DIGEST if chosen else DIGEST
    note_tree(TITLE, root, [path.relative_to(root).as_posix() for path in files], digest, observer)
    data = in_memory("camvid", read["train"], read["test"], classes=CLASSES, void=VOID)
    return replace(data, validation=MemorySplit(*read[VALIDATION])) if chosen else data


def _pairs(root: Path, part: str, count: int) -> list[tuple[Path, Path]]:
    """Images and their masks, by name."""
    images, masks = root / part, root / f"{part}annot"
    missing = [f"{path.name}/" for path in (images, masks) if not path.is_dir()]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    found = {p.stem: p for p in sorted(images.iterdir()) if p.suffix in (".jpg", ".png")}
    labels = {p.stem: p for p in sorted(masks.iterdir()) if p.suffix == ".png"}
    missing = [f"{part}annot/{name}.png" for name in found if name not in labels]
    missing += [f"{part}/{name}.jpg" for name in labels if name not in found]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    if len(found) != count:
        raise DataError(
            f"CamVid has {len(found)} images in `{part}` where SegNet's split has {count}",
            where=str(images),
            do=LAYOUT,
        )
    return [(path, labels[name]) for name, path in found.items()]


def _read(pairs: list[tuple[Path, Path]], bar: Meter) -> tuple[torch.Tensor, torch.Tensor]:
    images = np.empty((len(pairs), 3, HEIGHT, WIDTH), np.uint8)
    masks = np.empty((len(pairs), HEIGHT, WIDTH), np.uint8)
    for index, (path, mask) in enumerate(pairs):
        image = read_image(path, TITLE)
        if image.size != (WIDTH, HEIGHT):
            raise DataError(
                f"the image `{path.name}` of CamVid is {image.width}x{image.height}, not "
                f"{WIDTH}x{HEIGHT}",
                where=str(path),
                do=LAYOUT,
            )
        images[index] = np.asarray(image).transpose(2, 0, 1)
        masks[index] = read_mask(mask, TITLE, image.size, len(CLASSES), VOID)
        bar.advance(1)
    return torch.from_numpy(images), torch.from_numpy(masks)
