"""Fashion-MNIST: 60,000 + 10,000 grey images of 28x28, ten kinds of clothing, four idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.files import needed_folder, note_checksums
from qdeploy.data.idx import IdxError, read_idx
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data

HOME = "https://github.com/zalandoresearch/fashion-mnist"
FOLDER = Path("FashionMNIST") / "raw"
CLASSES = (
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
)
# File stem, shape, MD5 of the published .gz file (as the publisher's page lists it).
FILES = (
    ("train-images-idx3-ubyte", (60000, 28, 28), "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte", (60000,), "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte", (10000, 28, 28), "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte", (10000,), "bb300cfdad3c16e7a12a480ee83cd310"),
)
LAYOUT = "\n".join(
    [
        f"get the four files from {HOME} and lay them out like this:",
        *(f"    {FOLDER / stem}.gz   (MD5 {md5})" for stem, _, md5 in FILES),
        "    (unpacked files without .gz work as well)",
    ]
)


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """Read the four files below `folder`/FashionMNIST/raw.

    Raises:
        DataError: when files are missing or damaged.
    """
    raw = needed_folder("fashion-mnist", folder, LAYOUT) / FOLDER
    paths = {stem: _find(raw, stem) for stem, _, _ in FILES}
    missing = [f"{stem}.gz" for stem, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"Fashion-MNIST is incomplete: {', '.join(missing)} not found",
            where=str(raw),
            do=LAYOUT,
        )
    arrays: dict[str, torch.Tensor] = {}
    for stem, shape, _ in FILES:
        path = paths[stem]
        assert path is not None
        try:
            array = read_idx(path)
            if array.shape != shape:
                raise IdxError(f"it has the shape {array.shape} where {shape} is published")
            if len(shape) == 1 and array.max() > 9:
                first = int(np.argmax(array > 9))
                raise IdxError(f"image {first} has the label {array[first]}, above 9")
        except (IdxError, OSError) as error:
            raise DataError(
                f"the file `{path.name}` of Fashion-MNIST is damaged: {error}",
                where=str(path),
                do=LAYOUT,
            ) from error
        arrays[stem] = torch.from_numpy(
            array[:, None] if len(shape) == 3 else array.astype(np.int64)
        )
    note_checksums(
        "Fashion-MNIST",
        [
            (path, md5)
            for stem, _, md5 in FILES
            if (path := paths[stem]) is not None and path.suffix == ".gz"
        ],
        observer,
    )
    train_images, train_labels, test_images, test_labels = (arrays[stem] for stem, _, _ in FILES)
    return in_memory(
        "fashion-mnist", (train_images, train_labels), (test_images, test_labels), classes=CLASSES
    )


def _find(raw: Path, stem: str) -> Path | None:
    return next((p for p in (raw / stem, raw / f"{stem}.gz") if p.is_file()), None)
