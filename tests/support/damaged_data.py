"""The files of data sets, small ones in the published layouts, for the tests with damaged files."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import wave
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage import Kind, replaced
from data_trees import stripes, write_image, write_imagenet, write_mask, write_voc, write_wav
from PIL import Image

from qdeploy.data import camvid, cifar10, fsdd, mnist
from qdeploy.data.dataset import Dataset
from qdeploy.data.load import load_dataset
from qdeploy.data.stream import FileSplit
from qdeploy.recipe.data import data_section
from qdeploy.recipe.spoken_digits import SPEAKERS

_BATCH = 10


@contextlib.contextmanager
def small_sets() -> Iterator[None]:
    """Data sets of a few images, so that each of many damaged ones is read as a whole."""
    shapes = {3: (_BATCH, 28, 28), 1: (_BATCH,)}
    files = {stem: shapes[len(shape)] for stem, shape in mnist.SHAPES.items()}
    with (
        replaced(cifar10, PER_BATCH=_BATCH),
        replaced(mnist, SHAPES=files),
        replaced(camvid, COUNTS={"train": 2, "test": 1}),
        replaced(fsdd, INDICES=1, DIGITS=2),
    ):
        yield


def reader(root: int, name: str, **settings: object) -> Callable[[Path], Dataset]:
    """Reads a set and everything in it.

    Args:
        root: how many folders above the damaged file the folder of the data sets is.
    """

    def read(path: Path) -> Dataset:
        given = {"name": name, **settings}
        section = data_section(given).model_validate(given)
        found = load_dataset(section, path.parents[root])
        for split in (found.train, found.test):
            if isinstance(split, FileSplit):
                split.read(range(len(split)))
                split.item(0, torch.Generator().manual_seed(1))
        return found

    return read


def cifar(folder: Path) -> Path:
    root = folder / cifar10.FOLDER
    root.mkdir()
    data = np.arange(_BATCH * 3072).astype(np.uint8).reshape(_BATCH, 3072)
    labels = [index % 10 for index in range(_BATCH)]
    for name, _ in cifar10.FILES:
        content = {b"batch_label": b"x", b"labels": labels, b"data": data, b"filenames": [b"a.png"]}
        (root / name).write_bytes(pickle.dumps(content, protocol=2))
    return root / "data_batch_2"


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    lengths = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.tobytes()


def fashion(folder: Path) -> Path:
    root = folder / mnist.FASHION_MNIST.folder
    root.mkdir(parents=True)
    for stem, shape in mnist.SHAPES.items():
        data = (np.arange(int(np.prod(shape))) % 10).astype(np.uint8).reshape(shape)
        (root / stem).write_bytes(idx(data))
    return root / "train-labels-idx1-ubyte"


def fashion_images(folder: Path) -> Path:
    return fashion(folder).with_name("t10k-images-idx3-ubyte")


def fashion_zipped(folder: Path) -> Path:
    path = fashion(folder)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return packed


def fashion_unzipped(folder: Path) -> Path:
    """A file that is packed again after each change."""
    path = fashion(folder)
    return path.rename(path.with_suffix(".unpacked"))


def zipped(path: Path) -> None:
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes(), 1, mtime=0))


def recordings(folder: Path) -> Path:
    root = folder / fsdd.FOLDER
    root.mkdir(parents=True)
    for digit in range(fsdd.DIGITS):
        for speaker in SPEAKERS:
            write_wav(
                root / f"{digit}_{speaker}_0.wav", 8000 * np.sin(np.arange(500) / (digit + 2))
            )
    return root / "1_theo_0.wav"


def streets(folder: Path) -> Path:
    root = folder / camvid.FOLDER
    for part, count in camvid.COUNTS.items():
        for index in range(count):
            suffix = "png" if part == "test" else "jpg"
            write_image(root / part / f"{index}.{suffix}", camvid.WIDTH, camvid.HEIGHT)
            mask = stripes(camvid.HEIGHT, camvid.WIDTH, 11, 11)
            write_mask(root / f"{part}annot" / f"{index}.png", mask)
    return root / "train" / "1.jpg"


def street_mask(folder: Path) -> Path:
    return streets(folder).parents[1] / "testannot" / "0.png"


def street_png(folder: Path) -> Path:
    return streets(folder).parents[1] / "test" / "0.png"


def with_checksums(path: Path) -> None:
    """The checksums of a PNG's chunks made right, so that what they guard is read."""
    data = path.read_bytes()
    out, at = data[:8], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + size
    path.write_bytes(out + data[at:])


def voc_list(folder: Path) -> Path:
    return write_voc(folder, 3, 2) / "ImageSets" / "Segmentation" / "val.txt"


def voc_image(folder: Path) -> Path:
    return write_voc(folder, 2, 1) / "JPEGImages" / "2007_000001.jpg"


def voc_mask(folder: Path) -> Path:
    return write_voc(folder, 2, 1) / "SegmentationClass" / "2007_000001.png"


def imagenet_jpeg(folder: Path) -> Path:
    root = write_imagenet(folder, 2, 1, 1)
    return next((root / "train" / "n01440764").iterdir())


def imagenet_png(folder: Path) -> Path:
    path = imagenet_jpeg(folder)
    write_image(path.with_suffix(".png"), 40, 50)
    path.unlink()
    return path.with_suffix(".png")


def own_table(folder: Path) -> Path:
    rows = [f"{index},{index * 0.37:.3g},{'ab'[index % 2]}" for index in range(20)]
    (folder / "own.csv").write_text("\n".join(["x,y,label", *rows]) + "\n", encoding="utf-8")
    return folder / "own.csv"


def own_arrays(folder: Path) -> Path:
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3)
    np.savez(folder / "own.npz", x=values, y=np.arange(20) % 2)
    return folder / "own.npz"


def own_image(folder: Path) -> Path:
    for name in ("a", "b"):
        for index in range(6):
            write_image(folder / "own" / name / f"{index}.png", 20, 16)
    return folder / "own" / "a" / "3.png"


def own_sound(folder: Path) -> Path:
    for name in ("a", "b"):
        for index in range(4):
            path = folder / "sounds" / name / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(bytes(range(200)) * 2)
    return folder / "sounds" / "a" / "3.wav"


def own_series(folder: Path) -> Path:
    rows = [f"{index % 9},{index * 0.37:.3g},{'ab'[index // 8 % 2]}" for index in range(64)]
    (folder / "s.csv").write_text("\n".join(["x,y,label", *rows]) + "\n", encoding="utf-8")
    return folder / "s.csv"


def own_mask(folder: Path) -> Path:
    for index in range(6):
        write_image(folder / "masks" / "images" / f"{index}.png", 20, 16)
        mask = np.tile(np.array([0, 1, 255, 1], np.uint8), (16, 5))
        (folder / "masks" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / "masks" / f"{index}.png")
    return folder / "masks" / "masks" / "3.png"


VOC = reader(3, "voc2012", partial=True, image_size=32, augment="scale-crop-flip")
VOC_LIST = reader(4, "voc2012", partial=True, image_size=32, augment="scale-crop-flip")
IMAGENET = reader(3, "imagenet", classes=2, image_size=32, augment="resized-crop-flip")
NUMBERS: dict[str, Any] = {"task": "regression", "targets": ["y"], "features": ["x"]}
OWN_IMAGES = reader(2, "image-folder", path="own", image_size=16)
SETS: tuple[tuple[str, Callable[[Path], Path], Callable[[Path], object], int], ...] = (
    ("cifar10", cifar, reader(1, "cifar10"), 80),
    ("idx labels", fashion, reader(2, "fashion-mnist"), 40),
    ("idx images", fashion_images, reader(2, "fashion-mnist"), 40),
    ("idx.gz", fashion_zipped, reader(2, "fashion-mnist"), 40),
    ("wav", recordings, reader(2, "fsdd"), 60),
    ("camvid image", streets, reader(2, "camvid"), 20),
    ("voc list", voc_list, VOC_LIST, 30),
    ("voc image", voc_image, VOC, 20),
    ("imagenet jpeg", imagenet_jpeg, IMAGENET, 20),
    ("own csv", own_table, reader(0, "csv", path="own.csv"), 60),
    ("own numbers", own_table, reader(0, "csv", path="own.csv", **NUMBERS), 40),
    ("own wav", own_sound, reader(2, "series", path="sounds", length=64), 60),
    ("own series", own_series, reader(0, "series", path="s.csv", length=4), 60),
    ("own npz", own_arrays, reader(0, "arrays", path="own.npz"), 60),
)
# Those whose checksums are made right again, and then what the checksums guard.
SEALED = (
    ("idx in gz", fashion_unzipped, reader(2, "fashion-mnist"), 40, zipped),
    ("camvid png", street_png, reader(2, "camvid"), 20, with_checksums),
    ("camvid mask", street_mask, reader(2, "camvid"), 30, with_checksums),
    ("voc mask", voc_mask, VOC, 30, with_checksums),
    ("imagenet png", imagenet_png, IMAGENET, 20, with_checksums),
    ("own mask", own_mask, reader(2, "mask-folder", path="masks"), 30, with_checksums),
    (
        "own png",
        own_image,
        reader(2, "image-folder", path="own", image_size=16),
        20,
        with_checksums,
    ),
)
KINDS = (
    *(Kind(*one, around=small_sets) for one in SETS),
    *(Kind(*one, around=small_sets) for one in SEALED),
)
