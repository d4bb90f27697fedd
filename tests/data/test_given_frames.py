"""Frames, labels and names of classes from files: what is taken, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdeploy.data.given_frames import GivenFrames, read_class_names, read_frames, read_labels
from qdeploy.errors import DataError

FRAMES = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.uint8)


def test_archives_and_arrays_hold_frames_and_labels(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=FRAMES, labels=np.array([4, 1]), other=FRAMES)
    found = read_frames(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.values, FRAMES)
    assert found.labels is not None and found.labels.tolist() == [4, 1]
    np.savez(tmp_path / "one.npz", whatever=FRAMES)
    np.testing.assert_array_equal(read_frames(tmp_path / "one.npz").values, FRAMES)
    np.save(tmp_path / "b.npy", FRAMES / 7)
    np.testing.assert_array_equal(read_frames(tmp_path / "b.npy").values, FRAMES / 7)


def test_folders_hold_a_frame_a_file_in_the_order_of_names(tmp_path: Path) -> None:
    for name, level in (("b.png", 20), ("a.png", 10)):
        Image.fromarray(np.full((4, 5, 3), level, np.uint8)).save(tmp_path / name)
    found = read_frames(tmp_path)
    assert (found.values.shape, found.pictures) == ((2, 4, 5, 3), True)
    assert found.values[:, 0, 0, 0].tolist() == [10, 20]
    (tmp_path / "labels.csv").write_text("file,label\nb.png,7\na.png,3\n")
    assert read_labels(tmp_path / "labels.csv", found).tolist() == [3, 7]
    (tmp_path / "labels.csv").write_text("file,label\nb.png,7\n")
    with pytest.raises(DataError, match=r"no label for `a\.png`"):
        read_labels(tmp_path / "labels.csv", found)


def test_grey_pictures_have_no_axis_of_colours(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 9, np.uint8)).save(tmp_path / "a.png")
    assert read_frames(tmp_path).values.shape == (1, 4, 5)


def write(path: Path, data: object) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **data)  # type: ignore[arg-type]
    elif path.suffix == ".npy":
        np.save(path, data)  # type: ignore[arg-type]
    else:
        path.write_bytes(data)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npz", {"left": FRAMES, "right": FRAMES}, "none of them called `images`"),
        ("a.npz", {}, "no array"),
        ("a.npy", np.array(["x", "y"]).reshape(2, 1), "its values are <U1"),
        ("a.npy", np.array([[1.0, np.nan]]), "not finite"),
        ("a.npy", np.zeros((0, 3)), "is no frames"),
        ("a.npy", np.zeros(3), "is no frames"),
        ("a.npy", np.array([[None]]), "declares"),
        ("a.bin", b"x", "no .npz or .npy file"),
        ("missing.npz", None, "No such file"),
    ],
)
def test_what_is_no_frames_is_refused(
    name: str, data: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name if data is None else write(tmp_path / name, data)
    with pytest.raises(DataError) as caught:
        read_frames(path)
    assert message in str(caught.value)


def test_damaged_and_mixed_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0 PNG and \.npy files"):
        read_frames(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"`a\.png` is damaged"):
        read_frames(tmp_path)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"`b.png` is uint8 of shape \(4, 6\)"):
        read_frames(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", np.array([1, 2, 3]), "for 2 frames"),
        ("a.npy", np.array([0.5, 1.0]), "float64"),
        ("a.npy", np.array([-1, 1]), "the label -1"),
        ("a.csv", b"1\nx\n", "invalid literal"),
        ("a.csv", b"a,b,1\na,b,2\n", "two columns"),
        ("a.txt", b"1\n2\n", "no .npy and no .csv"),
    ],
)
def test_labels_that_are_none_are_refused(
    name: str, data: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_labels(write(tmp_path / name, data), GivenFrames(FRAMES))
    assert message in str(caught.value)


def test_names_of_classes_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("cat\ndog\n")
    assert read_class_names(path) == ("cat", "dog")
    for text, message in (("cat\n\ndog", "no name"), ("", "no name"), ("a\nb\na", "`a` is there")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_class_names(path)
