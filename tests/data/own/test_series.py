"""Windows over recordings: which there are, which part they are in, and what is refused."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdeploy.data.load import load_dataset
from qdeploy.data.own.recordings import recordings_of
from qdeploy.data.own.series import load
from qdeploy.data.wav import read_wav
from qdeploy.errors import DataError, RecipeError
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.series import Series


def settings(**keys: Any) -> Series:
    return Series.model_validate({"name": "series", "path": ".", **keys})


def read(folder: Path, observer: Observer = SILENT, **keys: Any) -> Any:
    return load_dataset(settings(**keys), folder, observer)


def sound(path: Path, samples: int, hertz: float, rate: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        whole = np.rint(wanted * 32767).astype("<i2")
        file.writeframes(np.repeat(whole[:, None], channels, 1).tobytes())


def sensors(path: Path, sessions: int = 5, lines: int = 40, channels: int = 3) -> Path:
    random = np.random.default_rng(0)
    names = [f"c{index}" for index in range(channels)]
    text = [",".join(["session", *names, "label"])]
    for session in range(sessions):
        for label in ("walk", "run"):
            for values in random.normal(size=(lines, channels)):
                text.append(",".join([f"s{session}", *(f"{v:.5g}" for v in values), label]))
    path.write_text("\n".join(text) + "\n")
    return path


def test_windows_of_a_table_keep_their_session_together(tmp_path: Path) -> None:
    table = sensors(tmp_path / "t.csv")
    data = read(tmp_path, path="t.csv", length=16, hop=8, group="session", validation=0.2)
    assert data.shape == (3, 1, 16)
    assert data.classes == ("run", "walk")
    # 40 lines give 4 windows; five sessions of two labels: one is tested, one is for validation.
    assert [len(split) for split in data.splits.values()] == [24, 8, 8]
    rows = np.genfromtxt(table, delimiter=",", skip_header=1, usecols=(1, 2, 3))
    starts = {
        rows[first : first + 16].T.astype(np.float32).tobytes(): first
        for first in range(len(rows) - 15)
    }
    held: dict[str, set[int]] = {}
    for name, split in data.splits.items():
        for frame in _real(data, split.images.numpy()):
            nearest = min(starts.values(), key=lambda f: np.abs(rows[f : f + 16].T - frame).max())
            held.setdefault(name, set()).add(nearest // 80)
    assert not held["train"] & (held["test"] | held["validation"])
    assert not held["test"] & held["validation"]


def _real(data: Any, codes: Any) -> Any:
    low, high = np.array(data.scaling.low), np.array(data.scaling.high)
    return low[:, None] + codes[:, :, 0] * ((high - low) / 255)[:, None]


class Told:
    """An observer that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.meter = SILENT.meter

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_figures_of_one_session_are_told_to_be_so(tmp_path: Path) -> None:
    sensors(tmp_path / "t.csv", sessions=6)
    keys = {"path": "t.csv", "length": 16, "group": "session"}
    told = Told()
    data = read(tmp_path, told, **keys)  # type: ignore[arg-type]
    assert len(data.test) and data.validation is not None
    (note,) = (one for one in told.notes if "alone" in one)
    assert re.search(r"the test set is `s\d` alone; the validation set is `s\d` alone", note)
    told = Told()
    read(tmp_path, told, test_groups=["s1"], validation=0.5, **keys)  # type: ignore[arg-type]
    assert "the validation set is `s" in told.notes[0] and "the test set" not in told.notes[0]
    told = Told()
    read(tmp_path, told, test=0.4, validation=0, test_groups=["s1"], **keys)  # type: ignore[arg-type]
    assert told.notes == []


def test_values_beyond_the_ranges_of_the_training_are_told(tmp_path: Path) -> None:
    table = sensors(tmp_path / "t.csv")
    lines = table.read_text().splitlines()
    moved = []
    for line in lines[1:]:
        session, first, *rest = line.split(",")
        moved.append(",".join([session, str(float(first) + 3 * (session == "s2")), *rest]))
    table.write_text("\n".join([lines[0], *moved]) + "\n")
    keys = {"path": "t.csv", "length": 16, "group": "session", "validation": 0}
    told = Told()
    read(tmp_path, told, test_groups=["s2"], **keys)  # type: ignore[arg-type]
    (note,) = told.notes
    share = float(re.search(r"note: ([\d.]+)% of the test values", note)[1])  # type: ignore[index]
    # A third of the values is moved by three deviations, and the range ends at about three.
    assert 10 < share < 25
    told = Told()
    ranges = {"low": [-9.0] * 3, "high": [9.0] * 3}
    read(tmp_path, told, test_groups=["s2"], **keys, **ranges)  # type: ignore[arg-type]
    assert told.notes == []


def test_named_sessions_are_the_test_set(tmp_path: Path) -> None:
    sensors(tmp_path / "t.csv")
    keys = {"path": "t.csv", "length": 20, "group": "session", "validation": 0}
    data = read(tmp_path, test_groups=["s1", "s4"], **keys)
    assert [len(split) for split in data.splits.values()] == [12, 8]
    with pytest.raises(DataError, match="there is no group `s9`"):
        read(tmp_path, test_groups=["s9"], **keys)


def test_runs_of_lines_of_one_label_are_recordings(tmp_path: Path) -> None:
    sensors(tmp_path / "t.csv", lines=19)
    notes: list[str] = []
    data = read(
        tmp_path,
        Observer(note=notes.append),
        path="t.csv",
        length=10,
        hop=9,
        features=["c0", "c2"],
        validation=0,
    )
    # A window would cross from one label to the next after two of each run.
    assert [len(split) for split in data.splits.values()] == [16, 4]
    assert data.shape == (2, 1, 10)
    sensors(tmp_path / "short.csv", lines=9)
    text = (tmp_path / "t.csv").read_text() + "\n".join(
        (tmp_path / "short.csv").read_text().splitlines()[1:10]
    )
    (tmp_path / "t.csv").write_text(text)
    read(tmp_path, Observer(note=notes.append), path="t.csv", length=10, features=["c1"])
    assert any("1 of 11 runs of lines are shorter than a window" in note for note in notes)


def test_folders_of_sounds_are_classes(tmp_path: Path) -> None:
    for name, hertz in (("low", 300), ("high", 2000)):
        for index in range(5):
            sound(tmp_path / name / f"{index}.wav", 1000 if index else 300, hertz)
    notes: list[str] = []
    data = read(tmp_path, Observer(note=notes.append), length=500, validation=0)
    assert data.classes == ("high", "low") and data.shape == (1, 1, 500)
    assert sum(len(split) for split in data.splits.values()) == 2 * (4 * 2 + 1)
    assert any("2 of 10 wav files are shorter than a window" in note for note in notes)


def test_files_of_one_name_in_two_classes_are_two_recordings(tmp_path: Path) -> None:
    for name in ("low", "high"):
        for index in range(3):
            sound(tmp_path / name / f"{index}.wav", 500, 300)
    groups = [
        one.group
        for name in ("low", "high")
        for path in sorted((tmp_path / name).iterdir())
        for one in recordings_of(path, settings(length=500), name)
    ]
    assert groups == [f"{name}/{index}" for name in ("low", "high") for index in range(3)]


def test_spectra_have_their_peak_in_the_band_of_the_tone(tmp_path: Path) -> None:
    for name, hertz in (("low", 300), ("high", 2000)):
        for index in range(4):
            sound(tmp_path / name / f"{index}.wav", 4000, hertz)
    mel = {"bands": 24, "frame": 256, "hop": 128}
    data = read(tmp_path, length=2048, log_mel=mel, validation=0, clip=0)
    assert data.shape == (1, 24, 15)
    peaks = [
        int(data.train_images[data.train_labels == label].float().mean((0, 1, 3)).argmax())
        for label in (0, 1)
    ]
    m = 2595 * np.log10(1 + np.array([2000, 300, 50, 4000]) / 700)
    expected = (m[:2] - m[2]) / (m[3] - m[2]) * 25 - 1
    assert np.abs(np.array(peaks) - expected).max() < 1


def test_names_of_files_tell_label_and_speaker(tmp_path: Path) -> None:
    for speaker in ("ann", "bob", "cy"):
        for digit in (0, 1):
            for take in range(2):
                sound(tmp_path / f"{digit}_{speaker}_{take}.wav", 400, 500 + 500 * digit)
    keys = {"length": 400, "names": "{label}_{group}_*", "validation": 0}
    data = read(tmp_path, test_groups=["bob"], **keys)
    assert data.classes == ("0", "1")
    assert [len(split) for split in data.splits.values()] == [8, 4]
    sound(tmp_path / "noise.wav", 400, 100)
    with pytest.raises(DataError, match=r"`noise\.wav` is not as"):
        read(tmp_path, **keys)


def test_numbers_are_the_mean_over_a_window(tmp_path: Path) -> None:
    lines = ["a,load"] + [f"{index % 7},{index}" for index in range(100)]
    for name in ("x", "y"):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    data = read(tmp_path, length=10, label="load", task="regression", validation=0)
    assert data.task == "regression" and data.classes == ("load",)
    loads = np.sort(data.targets.real(data.test_labels.numpy())[:, 0])
    assert loads == pytest.approx(np.arange(10) * 10 + 4.5, abs=1e-4)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_samples_of_every_width_are_the_same_sound(tmp_path: Path, bits: int) -> None:
    wanted = np.array([[-1.0, -0.5, 0.0, 0.25], [0.5, 0.0, -0.25, -1.0]])
    whole = np.rint(wanted.T * 2 ** (bits - 1)).astype("<i8").reshape(-1, 1)
    if bits == 8:
        whole = whole + 128
    raw = whole.view(np.uint8).reshape(len(whole), 8)[:, : bits // 8]
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, bits // 8, 16000, 0, "NONE", ""))
        file.writeframes(raw.tobytes())
    samples, rate = read_wav(tmp_path / "a.wav")
    assert rate == 16000
    assert np.array_equal(samples, wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("rate", "the recording `1.wav` has 11,025 samples per second, not 8,000"),
        ("wanted", "the recording `0.wav` has 8,000 samples per second, not 16,000"),
        ("channels", "`1.wav` has 2 channels, `0.wav` 1"),
        ("cut", "the recording `1.wav` cannot be read: it has"),
        ("text", "the recording `1.wav` cannot be read: file does not start with RIFF id"),
        ("empty", "the class `c` has no recordings"),
        ("alone", "there are too few groups"),
        ("one class", "the data set has 1 class: `a`"),
        ("nothing", "there are no recordings"),
        ("no label", "nothing gives the label of the recording `x.wav`"),
        ("long", "the part `train` has no windows"),
    ],
)
def test_recordings_that_are_no_data_set_are_refused(tmp_path: Path, harm: str, what: str) -> None:
    keys: dict[str, Any] = {"length": 200}
    for name in ("a", "b") if harm != "one class" else ("a",):
        for index in range(1 if harm == "alone" else 4):
            sound(tmp_path / name / f"{index}.wav", 400, 300)
    first = tmp_path / "a" / "1.wav"
    if harm == "rate":
        sound(first, 400, 300, rate=11025)
    if harm == "wanted":
        keys["rate"] = 16000
    if harm == "channels":
        sound(first, 400, 300, channels=2)
    if harm == "cut":
        first.write_bytes(first.read_bytes()[:-100])
    if harm == "text":
        first.write_text("no sound")
    if harm == "empty":
        (tmp_path / "c").mkdir()
    if harm == "nothing":
        (tmp_path / "e").mkdir()
        keys["path"] = "e"
    if harm == "no label":
        sound(tmp_path / "x.wav", 400, 300)
    if harm == "long":
        sensors(tmp_path / "t.csv")
        keys = {"length": 50, "path": "t.csv", "group": "session"}
    with pytest.raises(DataError, match=what):
        read(tmp_path, **keys)


@pytest.mark.parametrize(
    ("line", "keys", "what"),
    [
        ("s0,1,nan,2,run", {}, "line 402 of `t.csv` cannot be used"),
        ("s0,1,2,run", {}, "line 402 of `t.csv` cannot be used"),
        ("s0,1,2,3,", {}, "line 402 of `t.csv` cannot be used"),
        ("", {"group": "person"}, "has no column `person`"),
        ("", {"label": "kind"}, "has no column `kind`"),
        ("", {"features": ["c9"]}, "has no column `c9`"),
        ("", {"log_mel": {"frame": 16}}, "spectra in hertz need the rate"),
        ("", {"log_mel": {"frame": 16}, "rate": 60}, "are not within the spectrum of 60 samples"),
    ],
)
def test_tables_that_are_no_series_are_refused(
    tmp_path: Path, line: str, keys: dict[str, Any], what: str
) -> None:
    path = sensors(tmp_path / "t.csv")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=what):
        load(
            tmp_path,
            settings(**{"path": "t.csv", "length": 16, "group": "session", **keys}),
            SILENT,
        )


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "name: a\nnetwork: {type: fcdnn}\ndata: {name: series, path: x, length: 100}\n"
        "phases: [{name: f, kind: pretrain, epochs: 1}, {name: r, kind: retrain, epochs: 1}]\n"
    )
    load_recipe(tmp_path / "r.yaml")
    for change, what in (
        ("data.log_mel={}", "a window of 100 samples holds no spectrum of 256"),
        ("data.names='{label}{label}'", "has `{label}` or `{group}` twice"),
        ("data.log_mel={band: 3}", "unknown key `data.log_mel.band`; did you mean `bands`"),
    ):
        with pytest.raises(RecipeError, match=what):
            load_recipe(tmp_path / "r.yaml", [change])
