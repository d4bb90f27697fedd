"""`qdeploy init`: recipes that `train` takes as they are, and what it refuses."""

from __future__ import annotations

import csv
import importlib
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdeploy.cli.main import qdeploy, run
from qdeploy.recipe.loading import load_recipe

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(root: str, sizes: tuple[int, ...] = (16,), classes: int = 3) -> None:
    for label in range(classes):
        folder = Path(root) / f"kind{label}"
        folder.mkdir(parents=True)
        for number in range(12):
            side = sizes[number % len(sizes)]
            pixels = RANDOM.integers(0, 60, (side, side), dtype=np.uint8) + np.uint8(60 * label)
            Image.fromarray(pixels).save(folder / f"{number}.png")


def table(path: str, *, real: bool = False, delimiter: str = ",") -> None:
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["a", "b", "kind"])
        for number in range(60):
            label = number % 2
            values = [f"{value:.3f}" for value in RANDOM.normal(label, 0.3, 2)]
            writer.writerow([*values, f"{label + 0.25:.2f}" if real else ("on", "off")[label]])


def arrays(path: str) -> None:
    y = np.arange(80) % 4
    x = RANDOM.normal(y[:, None], 0.2, (80, 6)).astype(np.float32)
    if path.endswith(".npz"):
        np.savez(path, x=x, y=y)
    else:
        np.save(path, x)
        np.save(Path(path).with_name("labels.npy"), y)


def words(root: str) -> None:
    """Half a second of a tone, at 8 kHz, of two classes."""
    for label, hertz in (("low", 300), ("high", 2000)):
        folder = Path(root) / label
        folder.mkdir(parents=True)
        for number in range(10):
            samples = 9000 * np.sin(np.arange(4000) * hertz * 2 * np.pi / 8000 + number)
            with wave.open(str(folder / f"{number}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(samples.astype("<i2").tobytes())


def scenes(root: str) -> None:
    """Images and masks of 32x32, the bright half is class 1."""
    for name in ("images", "masks"):
        (Path(root) / name).mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, : 8 + number] = 1
        Image.fromarray(mask).save(Path(root) / "masks" / f"{number}.png")
        Image.fromarray(mask * 90 + np.uint8(50)).save(Path(root) / "images" / f"{number}.png")


def rows(path: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    y = np.arange(80) % 4
    columns = {"a": y + RANDOM.normal(0, 0.1, 80), "b": RANDOM.normal(size=80), "label": y}
    parquet = importlib.import_module("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)


MAKERS = {
    "words": lambda: words("words"),
    "scenes": lambda: scenes("scenes"),
    "pictures": lambda: images("pictures"),
    "mixed": lambda: images("mixed", (20, 40)),
    "kinds.csv": lambda: table("kinds.csv"),
    "heat.csv": lambda: table("heat.csv", real=True, delimiter=";"),
    "set.npz": lambda: arrays("set.npz"),
    "frames.npy": lambda: arrays("frames.npy"),
}


@pytest.mark.parametrize("data", [*MAKERS, "rows.parquet"])
def test_train_takes_the_recipe_as_it_is(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    MAKERS.get(data, lambda: rows("rows.parquet"))()
    assert run(qdeploy, ["init", data, "--out", "mine.yaml"]) == 0
    assert "next: qdeploy train mine.yaml" in capsys.readouterr().out
    assert Path("mine.yaml").read_text().startswith("# Written by `qdeploy init`")
    assert run(qdeploy, ["train", "mine.yaml", "--set", "training.epochs=1", "--out", "run"]) == 0
    assert Path("run/summary.json").exists()


def test_what_it_sees_is_in_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    for make in MAKERS.values():
        make()
    found = {}
    for data in MAKERS:
        assert run(qdeploy, ["init", data, "--out", f"{data}.yaml"]) == 0
        found[data] = load_recipe(Path(f"{data}.yaml"))
    assert found["pictures"].network.type == "convnet"
    assert found["pictures"].data.image_size is None
    assert (found["mixed"].data.image_size, found["kinds.csv"].network.type) == (16, "fcdnn")
    assert found["heat.csv"].data.model_dump()["task"] == "regression"
    assert found["heat.csv"].data.model_dump()["delimiter"] == ";"
    assert found["frames.npy"].data.model_dump()["labels"] == "labels.npy"
    series, scenes = found["words"].data.model_dump(), found["scenes"]
    assert (series["name"], series["length"], series["log_mel"]["frame"]) == ("series", 4000, 256)
    assert (scenes.data.name, scenes.network.type) == ("mask-folder", "deeplab")
    assert "3 classes: kind0, kind1, kind2" in Path("pictures.yaml").read_text()


def test_no_recipe_is_replaced_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    table("kinds.csv")
    Path("kinds.yaml").write_text("mine")
    assert run(qdeploy, ["init", "kinds.csv"]) == 2
    assert "`kinds.yaml` exists already" in capsys.readouterr().err
    assert Path("kinds.yaml").read_text() == "mine"
    assert run(qdeploy, ["init", "kinds.csv", "--force"]) == 0
    assert load_recipe(Path("kinds.yaml")).name == "kinds"


def empty_class() -> str:
    images("d", classes=2)
    (Path("d") / "empty").mkdir()
    return "d"


def one_class() -> str:
    images("d", classes=1)
    return "d"


def damaged() -> str:
    images("d")
    (Path("d") / "kind0" / "bad.png").write_bytes(b"\x89PNG no")
    return "d"


def one_column() -> str:
    Path("t.csv").write_text("a\n1\n2\n")
    return "t.csv"


def without_labels() -> str:
    np.save("x.npy", np.zeros((4, 3)))
    return "x.npy"


def not_finite() -> str:
    np.savez("n.npz", x=np.full((9, 2), np.nan, np.float32), y=np.arange(9) % 2)
    return "n.npz"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "nowhere", "it is not there"),
        (lambda: str(Path("a.txt").write_text("x") and "a.txt"), "its name has another ending"),
        (empty_class, "the class `empty` has no images"),
        (one_class, "has 1 class: `kind0`"),
        (damaged, "the image `bad.png` cannot be read"),
        (one_column, "no table of features and labels"),
        (without_labels, "has no labels beside it"),
        (not_finite, "no finite number"),
    ],
)
def test_bad_data_is_refused_and_no_recipe_written(
    make: Callable[[], str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(qdeploy, ["init", make(), "--out", "mine.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("mine.yaml").exists()
