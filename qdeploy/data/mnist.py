"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 in ten classes, four idx files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.files import needed_folder, note_checksums
from qdeploy.data.idx import IdxError, read_idx
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data

SHAPES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}


@dataclass(frozen=True)
class Published:
    """A data set in this layout.

    Args:
        name: in recipes.
        title: in sentences.
        home: where it is published.
        folder: of its files.
        digests: MD5 of the published .gz files, as their publisher lists them, in the order of
            `SHAPES`.
        classes: their names, by label.
    """

    name: str
    title: str
    home: str
    folder: Path
    digests: tuple[str, str, str, str]
    classes: tuple[str, ...]

    @property
    def layout(self) -> str:
        """What to do to have it."""
        listed = zip(SHAPES, self.digests, strict=True)
        return "\n".join(
            [
                f"get the four files from {self.home} and lay them out like this:",
                *(f"    {self.folder / stem}.gz   (MD5 {md5})" for stem, md5 in listed),
                "    (unpacked files without .gz work as well)",
            ]
        )


FASHION_MNIST = Published(
    "fashion-mnist",
    "Fashion-MNIST",
    "https://github.com/zalandoresearch/fashion-mnist",
    Path("FashionMNIST") / "raw",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
)
MNIST = Published(
    "mnist",
    "MNIST",
    "http://yann.lecun.com/exdb/mnist",
    Path("MNIST") / "raw",
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    tuple(str(digit) for digit in range(10)),
)


def load_fashion(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """Read Fashion-MNIST, as `_load`."""
    return _load(FASHION_MNIST, folder, observer)


def load_mnist(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """Read MNIST, as `_load`."""
    return _load(MNIST, folder, observer)


def _load(published: Published, folder: Path | None, observer: Observer) -> Dataset:
    """Read the four files below `folder`.

    Raises:
        DataError: when files are missing or damaged.
    """
    raw = needed_folder(published.name, folder, published.layout) / published.folder
    paths = {stem: _find(raw, stem) for stem in SHAPES}
    missing = [f"{stem}.gz" for stem, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"{published.title} is incomplete: {', '.join(missing)} not found",
            where=str(raw),
            do=published.layout,
        )
    found = {stem: path for stem, path in paths.items() if path is not None}
    arrays = [_array(published, path, SHAPES[stem]) for stem, path in found.items()]
    digests = zip(found.values(), published.digests, strict=True)
    zipped = [(path, md5) for path, md5 in digests if path.suffix == ".gz"]
    note_checksums(published.title, zipped, observer)
    train_images, train_labels, test_images, test_labels = arrays
    return in_memory(
        published.name, (train_images, train_labels), (test_images, test_labels), published.classes
    )


def _array(published: Published, path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    try:
        array = read_idx(path)
        if array.shape != shape:
            raise IdxError(f"it has the shape {array.shape} where {shape} is published")
        if len(shape) == 1 and array.max() > 9:
            first = int(np.argmax(array > 9))
            raise IdxError(f"image {first} has the label {array[first]}, above 9")
    except (IdxError, OSError) as error:
        raise DataError(
            f"the file `{path.name}` of {published.title} is damaged: {error}",
            where=str(path),
            do=published.layout,
        ) from error
    return torch.from_numpy(array[:, None] if len(shape) == 3 else array.astype(np.int64))


def _find(raw: Path, stem: str) -> Path | None:
    return next((p for p in (raw / stem, raw / f"{stem}.gz") if p.is_file()), None)
