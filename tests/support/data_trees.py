"""Small data sets in the published layouts, written by the tests that read them.

`data_with(NAME, tmp_path)` is the folder of the real set where QDEPLOY_DATA has it, and a written
one elsewhere, so that the same tests run on both.
"""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np
from PIL import Image

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
FOLDERS = {"fsdd": "fsdd/recordings", "camvid": "camvid/trainannot"}


def data_with(name: str, tmp_path: Path) -> Path:
    """A folder that holds the data set `name`, `fsdd` or `camvid`: the real one, or a written."""
    given = os.environ.get("QDEPLOY_DATA", "")
    if given and (Path(given) / FOLDERS[name]).is_dir():
        return Path(given)
    {"fsdd": write_fsdd, "camvid": write_camvid}[name](tmp_path)
    return tmp_path


def write_wav(path: Path, samples: np.ndarray, rate: int = 8000, channels: int = 1) -> None:
    """16-bit samples as a wav file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def write_fsdd(folder: Path) -> Path:
    """3,000 recordings, each a tone of 300 Hz times digit + 1; returns their folder."""
    root = folder / "fsdd" / "recordings"
    root.mkdir(parents=True)
    time = np.arange(2500) / 8000
    for digit in range(10):
        first = root / f"{digit}_{SPEAKERS[0]}_0.wav"
        write_wav(first, 8000 * np.sin(2 * np.pi * 300 * (digit + 1) * time))
        for speaker in SPEAKERS:
            for index in range(50):
                path = root / f"{digit}_{speaker}_{index}.wav"
                if path != first:
                    os.link(first, path)
    return root


def write_image(path: Path, width: int, height: int, seed: int = 0) -> None:
    """A smooth colour image."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize((width, height), Image.Resampling.BILINEAR).save(path, quality=95)


def write_mask(path: Path, mask: np.ndarray, palette: bool = False) -> None:
    """Class numbers as a grey or a palette PNG."""
    image = Image.fromarray(mask.astype(np.uint8))
    if palette:
        image.putpalette([value for index in range(256) for value in (index, 0, 255 - index)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def stripes(height: int, width: int, classes: int, void: int) -> np.ndarray:
    """A mask of horizontal stripes of every class, and one of void at the bottom."""
    rows = np.arange(height) * (classes + 1) // height
    rows = np.where(rows == classes, void, rows)
    return np.repeat(rows[:, None], width, axis=1)


def write_camvid(folder: Path, validation: int = 0) -> Path:
    """367 training, 233 test and as many validation images of 240x180 as asked, with striped masks;
    returns their folder."""
    root = folder / "camvid"
    for part, count in (("train", 367), ("test", 233), ("val", validation)):
        if not count:
            continue
        images, masks = root / part, root / f"{part}annot"
        write_image(images / "0000.jpg", 240, 180, seed=count)
        write_mask(masks / "0000.png", stripes(180, 240, 11, 11))
        for index in range(1, count):
            os.link(images / "0000.jpg", images / f"{index:04}.jpg")
            os.link(masks / "0000.png", masks / f"{index:04}.png")
    return root


def write_voc(folder: Path, train: int = 6, val: int = 4) -> Path:
    """Images of several sizes with palette masks and their lists; returns `VOC2012`."""
    root = folder / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    sizes = ((50, 38), (37, 50), (50, 50))
    names = [f"2007_{index:06}" for index in range(train + val)]
    (lists / "train.txt").write_text("".join(f"{name}\n" for name in names[:train]))
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in names[train:]))
    for index, name in enumerate(names):
        width, height = sizes[index % 3]
        write_image(root / "JPEGImages" / f"{name}.jpg", width, height, seed=index)
        mask = stripes(height, width, 21, 255)
        write_mask(root / "SegmentationClass" / f"{name}.png", mask, palette=True)
    return root


def write_imagenet(folder: Path, classes: int = 3, train: int = 5, val: int = 2) -> Path:
    """Folders of JPEG files; every image of class k is filled with colour 60·(k + 1); returns
    `imagenet`."""
    root = folder / "imagenet"
    for part, count in (("train", train), ("val", val)):
        for label in range(classes):
            name = f"n{1440764 + label:08}"
            for index in range(count):
                path = root / part / name / f"{name}_{index}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                size = (40 + 10 * (index % 5), 60 - 5 * (index % 5))
                Image.new("RGB", size, (60 * (label + 1), 128, 10 * (index % 5))).save(
                    path, quality=95
                )
    return root
