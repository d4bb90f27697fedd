"""Data sets in files of one's own: what is read, what is found, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError
from qdeploy.recipe.data import DATASETS, data_section


class Told:
    """An observer that keeps its notes."""

    def __init__(self) -> None:
        from qdeploy.observer import SILENT

        self.notes: list[str] = []
        self.meter = SILENT.meter

    def note(self, text: str) -> None:
        self.notes.append(text)


def section(name: str, **keys: Any) -> Any:
    return data_section({"name": name}).model_validate({"name": name, **keys})


def read(name: str, folder: Path, observer: Any = None, **keys: Any) -> Any:
    told = Told() if observer is None else observer
    return load_dataset(section(name, **keys), folder, told)


def pictures(
    folder: Path, count: int, colour: bool = False, size: tuple[int, int] = (6, 5)
) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(sum(folder.as_posix().encode()))
    for index in range(count):
        shape = (*size, 3) if colour else size
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def table(path: Path, rows: int = 40, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    lines = ["a,kind,b"]
    for index in range(rows):
        lines.append(f"{random.normal():.6g},{'up' if index % 2 else 'down'},{index}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_folder_of_classes_is_split_by_class(tmp_path):
    for name in ("cat", "dog", "owl"):
        pictures(tmp_path / "pets" / name, 10)
    data = read("image-folder", tmp_path, path="pets")
    assert data.shape == (1, 6, 5)
    assert data.classes == ("cat", "dog", "owl")
    assert data.test_labels.bincount().tolist() == [2, 2, 2]
    assert data.train_labels.bincount().tolist() == [8, 8, 8]
    again = read("image-folder", tmp_path, path="pets")
    other = read("image-folder", tmp_path, path="pets", split_seed=1)
    assert again.test_images.equal(data.test_images)
    assert not other.test_images.equal(data.test_images)


def test_folders_of_train_val_and_test_are_the_parts(tmp_path):
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        for name in ("a", "b"):
            pictures(tmp_path / part / name, count, colour=True)
    data = read("image-folder", tmp_path, path=".")
    assert data.shape == (3, 6, 5)
    assert [len(data.splits[key]) for key in ("train", "validation", "test")] == [10, 4, 6]


def test_without_a_test_folder_the_validation_folder_is_the_test_set(tmp_path):
    for part, count in (("train", 5), ("val", 2)):
        for name in ("a", "b"):
            pictures(tmp_path / part / name, count)
    data = read("image-folder", tmp_path, path=".")
    assert data.validation is None
    assert len(data.test) == 4


@pytest.mark.parametrize("policy", ["crop", "pad", "squash"])
def test_images_of_all_sizes_come_to_one(tmp_path, policy):
    pictures(tmp_path / "a", 3, size=(9, 30))
    pictures(tmp_path / "b", 3, size=(40, 17))
    data = read("image-folder", tmp_path, path=".", image_size=16, resize=policy, test=0.4)
    assert data.shape == (1, 16, 16)
    black = (data.train_images == 0).float().mean()
    assert (black > 0.3) == (policy == "pad")


def test_one_image_in_colour_makes_all_of_them_so(tmp_path):
    pictures(tmp_path / "a", 3)
    pictures(tmp_path / "b", 3, colour=True)
    assert read("image-folder", tmp_path, path=".", test=0.4).shape[0] == 3
    assert read("image-folder", tmp_path, path=".", test=0.4, colours="grey").shape[0] == 1


def test_a_test_image_that_is_trained_with_is_told(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            pictures(tmp_path / part / name, 2)
    (tmp_path / "test/a/0.png").write_bytes((tmp_path / "train/b/1.png").read_bytes())
    told = Told()
    read("image-folder", tmp_path, told, path=".")
    assert len(told.notes) == 1
    assert told.notes[0].startswith("note: 1 of the 4 test frames")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("empty", "the class `c` has no images"),
        ("one", "the data set has 1 class: `a`"),
        ("damaged", "the image `0.png` cannot be read"),
        ("sizes", "images differ in size: 6x5 and 7x5"),
        ("nothing", "there are no folders of images"),
        ("missing", "the data set has no file or folder"),
        ("named", "the label `b` is none of the 2 classes"),
    ],
)
def test_folders_that_are_no_data_set_are_refused(tmp_path, harm, what):
    root = tmp_path / "set"
    keys: dict[str, Any] = {"path": "set"}
    if harm not in ("missing", "nothing"):
        pictures(root / "a", 6)
    if harm == "nothing":
        root.mkdir()
    if harm in ("empty", "damaged", "named"):
        pictures(root / "b", 6)
    if harm == "empty":
        (root / "c").mkdir()
    if harm == "damaged":
        (root / "b/0.png").write_bytes((root / "b/0.png").read_bytes()[:30])
    if harm == "sizes":
        pictures(root / "b", 6, size=(7, 5))
    if harm == "named":
        keys["class_names"] = ["a", "x"]
    with pytest.raises(DataError, match=what) as caught:
        read("image-folder", tmp_path, **keys)
    assert str(root) in (caught.value.where or "") or harm == "missing"


def test_a_table_has_features_in_the_order_of_its_columns(tmp_path):
    table(tmp_path / "t.csv")
    data = read("csv", tmp_path, path="t.csv", label="kind")
    assert data.shape == (2, 1, 1)
    assert data.classes == ("down", "up")
    assert len(data.scaling.low) == 2
    assert data.scaling.low[1] in (0, 1, 2, 3)
    assert data.train_images[:, 1].max() == 255
    only = read("csv", tmp_path, path="t.csv", label="kind", features=["b"])
    assert only.shape == (1, 1, 1)


def test_a_table_of_its_own_is_the_test_set_and_keeps_the_ranges_of_training(tmp_path):
    table(tmp_path / "t.csv")
    table(tmp_path / "more.csv", rows=100, seed=1)
    data = read("csv", tmp_path, path="t.csv", label="kind", test_path="more.csv")
    assert (len(data.train), len(data.test)) == (40, 100)
    assert data.scaling.high[1] == 39
    assert (data.test_images[:, 1] == 255).sum() == 61


@pytest.mark.parametrize(
    ("line", "keys", "what"),
    [
        ("1,up,nan", {}, "line 42 of `t.csv` cannot be used"),
        ("1,up,", {}, "line 42 of `t.csv` cannot be used"),
        ("1,up,1e39", {}, "line 42 of `t.csv` cannot be used"),
        ("1,,2", {}, "line 42 of `t.csv` cannot be used"),
        ("1,up", {}, "line 42 of `t.csv` cannot be used"),
        ("", {"label": "sort"}, "has no column `sort`"),
        ("", {"features": ["c"]}, "has no column `c`"),
        ("", {"class_names": ["up", "left"]}, "the label `down` is none of the 2 classes"),
        ("", {"low": [0.0], "high": [1.0]}, "have 1 ranges for 2 rows"),
        ("", {"shape": [3, 1, 1]}, "frames are 2x1x1, not 3x1x1"),
        ("", {"class_names": ["up", "down", "left"]}, "the class `left` has nothing to train"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(tmp_path, line, keys, what):
    path = table(tmp_path / "t.csv")
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=what):
        read("csv", tmp_path, **{"path": "t.csv", "label": "kind", **keys})


def test_arrays_of_bytes_stay_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (30, 7, 4), dtype=np.uint8), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y, x_test=x[:6] ^ 1, y_test=y[:6])
    data = read("arrays", tmp_path, path="a.npz")
    assert data.scaling is None
    assert data.shape == (1, 7, 4)
    assert np.array_equal(data.train_images.numpy()[:, 0], x)
    assert data.classes == ("0", "1", "2")


@pytest.mark.parametrize("keys", [{"signed": True}, {"scaling": "standard"}])
def test_a_scaling_of_bytes_is_refused(keys, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 7, 4), np.uint8), y=np.arange(30) % 3)
    with pytest.raises(DataError, match="these data are bytes"):
        read("arrays", tmp_path, path="a.npz", **keys)


def test_labels_may_be_true_and_false(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 4)), y=np.arange(30) % 2 == 1)
    assert read("arrays", tmp_path, path="a.npz").classes == ("0", "1")


def test_arrays_of_numbers_are_series_with_a_range_for_each_channel(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3, 20)) * np.array([1, 10, 1000])[:, None]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(40) % 4 + 7)
    data = read("arrays", tmp_path, path="x.npy", labels="y.npy", clip=0.01)
    assert data.shape == (3, 1, 20)
    assert data.classes == ("7", "8", "9", "10")
    widths = np.subtract(data.scaling.high, data.scaling.low)
    assert 3 < widths[0] < 8
    assert 3000 < widths[2] < 8000
    again = read(
        "arrays",
        tmp_path,
        path="x.npy",
        labels="y.npy",
        class_names=data.classes,
        low=data.scaling.low,
        high=data.scaling.high,
    )
    assert again.train_images.equal(data.train_images)
    assert again.train_labels.equal(data.train_labels)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.zeros((4, 2))}, "has no array `y`"),
        ({"x": np.zeros((4, 2)), "y": np.arange(3)}, "4 frames of `train` have 3 labels"),
        ({"x": np.full((4, 2), np.nan), "y": np.arange(4)}, "frame 0 of `x` has a value"),
        ({"x": np.zeros((4, 2)), "y": np.arange(4) / 2}, "labels are float64"),
        ({"x": np.zeros(4), "y": np.arange(4)}, "`x` has 1 axes"),
        ({"x": np.zeros((4, 2), complex), "y": np.arange(4)}, "`x` is complex128"),
        (
            {"x": np.zeros((4, 2)), "y": np.arange(4), "x_test": np.zeros((4, 2))},
            "has one of `x_test` and `y_test` only",
        ),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(tmp_path, arrays, why):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read("arrays", tmp_path, path="a.npz")
    assert why in (caught.value.why or "")


def test_a_name_alone_is_no_data_set_of_ones_own():
    for name in DATASETS.builtin:
        if DATASETS.load(name).shape is None:
            with pytest.raises(DataError, match="needs its files"):
                load_dataset(name)


@pytest.mark.parametrize("name", ["csv", "arrays", "image-folder"])
def test_pipes_and_devices_are_no_data(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in ("pipe.npz", "/dev/zero"):
        with pytest.raises(DataError, match="no file or folder"):
            read(name, tmp_path, path=path)


def test_a_folder_is_no_table_and_a_file_no_folder_of_images(tmp_path):
    path = table(tmp_path / "t.csv")
    (tmp_path / "x.npz").mkdir()
    for name, given in (("csv", "."), ("arrays", "x.npz"), ("image-folder", path.name)):
        with pytest.raises(DataError):
            read(name, tmp_path, path=given)


def test_standard_augmentation_is_for_image_folders_and_its_keys_for_it():
    with pytest.raises(ValueError, match="set `augment: standard`"):
        section("image-folder", path="a", transforms={"rotation": 5})
    with pytest.raises(ValueError, match="for `image-folder`, not for `csv`"):
        section("csv", path="a.csv", augment="standard")
    with pytest.raises(ValueError, match="less than or equal to 180"):
        section("image-folder", path="a", augment="standard", transforms={"rotation": 200})
