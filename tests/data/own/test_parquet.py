"""Parquet files as a data set, as `datasets` writes them; and without what reads them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError
from qdeploy.recipe.own_data import Parquet


def read(folder: Path, **keys: Any) -> Any:
    settings = Parquet.model_validate({"name": "parquet", "path": ".", **keys})
    return load_dataset(settings, folder)


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    if features is not None:
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    pyarrow.parquet.write_table(table, path)


def images(count: int, seed: int, size: tuple[int, int] = (20, 18), colour: bool = False) -> Any:
    random = np.random.default_rng(seed)
    pixels, cells = [], []
    for _ in range(count):
        shape = (*size, 3) if colour else size
        pixels.append(random.integers(0, 256, shape, dtype=np.uint8))
        file = io.BytesIO()
        Image.fromarray(pixels[-1]).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    return np.array(pixels), cells


NAMES = {"img": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="`pyarrow` is not installed") as caught:
        read(tmp_path)
    assert "pip install pyarrow" in str(caught.value.do)


def test_images_of_a_hugging_face_data_set_keep_their_names(tmp_path: Path) -> None:
    pixels, cells = images(12, 0)
    labels = [0, 1] * 6
    write(tmp_path / "data/train-00000-of-00002.parquet", {"img": cells, "label": labels}, NAMES)
    more, further = images(4, 1)
    write(tmp_path / "data/train-00001-of-00002.parquet", {"img": further, "label": [1] * 4}, NAMES)
    _, tested = images(6, 2)
    write(
        tmp_path / "data/test-00000-of-00001.parquet", {"img": tested, "label": labels[:6]}, NAMES
    )
    data = read(tmp_path, validation=0)
    assert data.classes == ("cat", "dog")
    assert data.shape == (1, 20, 18)
    assert np.array_equal(data.train_images.numpy()[:, 0], np.concatenate([pixels, more]))
    assert data.train_labels.tolist() == [*labels, 1, 1, 1, 1]
    assert len(data.test) == 6
    small = read(tmp_path, validation=0, image_size=16, colours="rgb")
    assert small.shape == (3, 16, 16)


def test_rows_of_numbers_are_vectors_with_ranges(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(40, 2))
    columns = {"a": values[:, 0], "kind": ["up", "down"] * 20, "b": values[:, 1].astype(np.float32)}
    write(tmp_path / "wells.parquet", columns)
    data = read(tmp_path, path="wells.parquet", label="kind")
    assert data.shape == (2, 1, 1)
    assert data.classes == ("down", "up")
    assert len(data.train) + len(data.test) == 40 and data.scaling is not None
    numbers = read(tmp_path, label="b", features=["a"], task="regression")
    assert numbers.targets is not None and numbers.shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        ("column", "has no column `label`"),
        ("null", "row 1 has nothing in the column `label`"),
        ("nan", "row 2 of the column `a` is no finite number"),
        ("text", "the column `a` is of type string"),
        ("damaged", "train.parquet"),
        ("image", "the image in row 1 of `train.parquet` cannot be read"),
        ("path", "holds a path in its place"),
        ("range", "the label `7` is none of the 2 classes"),
        ("nothing", "there are no .parquet files"),
        ("test", "no file is for training"),
    ],
)
def test_files_that_are_no_data_set_are_refused(tmp_path: Path, harm: str, part: str) -> None:
    columns: dict[str, Any] = {"a": [0.5, 1.5, 2.5, 3.5], "label": [0, 1, 0, 1]}
    features = None
    name = "test.parquet" if harm == "test" else "train.parquet"
    if harm == "column":
        columns["kind"] = columns.pop("label")
    if harm == "null":
        columns["label"] = [0, None, 1, 1]
    if harm == "nan":
        columns["a"] = [0.0, 1.0, float("nan"), 2.0]
    if harm == "text":
        columns["a"] = ["x", "y", "z", "w"]
    if harm in ("image", "path", "range"):
        columns, features = {"img": images(4, 0)[1], "label": [0, 1, 0, 1]}, NAMES
    if harm == "image":
        columns["img"][1]["bytes"] = columns["img"][1]["bytes"][:40]
    if harm == "path":
        columns["img"] = [{"bytes": None, "path": "a.png"}] * 4
    if harm == "range":
        columns["label"] = [0, 1, 0, 7]
    if harm != "nothing":
        write(tmp_path / name, columns, features)
    if harm == "damaged":
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:50])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert part in str(caught.value)


def test_what_would_not_fit_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 million equal rows are few bytes in the file."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [("a", pyarrow.int8()), ("b", pyarrow.int8()), ("label", pyarrow.int8())]
    )
    part = np.zeros(10_000_000, dtype=np.int8)
    table = pyarrow.table([part, part, part], schema=schema)
    with pyarrow.parquet.ParquetWriter(tmp_path / "train.parquet", schema) as writer:
        for _ in range(40):
            writer.write_table(table)
    assert (tmp_path / "train.parquet").stat().st_size < 10_000_000
    monkeypatch.setattr("pyarrow.parquet.read_table", None)  # is not called
    with pytest.raises(DataError, match="is too large") as caught:
        read(tmp_path)
    assert "more than 4 GiB" in str(caught.value.why)
