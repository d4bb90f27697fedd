"""Spoken digits (Free Spoken Digit Dataset): 3,000 recordings of six speakers at 8 kHz, as log-mel
spectrograms; whoever is tested is not trained with.

A file `digit_speaker_index.wav` is a recording of one digit; digits are 0 to 9, indices 0 to 49.
"""

from __future__ import annotations

import io
import re
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.bounded import read_some
from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.files import incomplete, needed_folder, note_tree, unreadable
from qdeploy.data.spectrogram import RATE, log_mel
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data
from qdeploy.recipe.spoken_digits import SPEAKERS, SpokenDigits

TITLE = "FSDD"
HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
FOLDER = Path("fsdd") / "recordings"
DIGITS, INDICES = 10, 50
MAX_BYTES = 1 << 24  # of a recording; the longest has 36 kB
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# `tree_digest` of the recordings used for docs/results.md; their home publishes no checksum.
DIGEST = "bdbabe32fa657162edfdcdbd292aecd5"
LAYOUT = "\n".join(
    [
        f"get the recordings from {HOME} and lay them out like this:",
        f"    {FOLDER}/DIGIT_SPEAKER_INDEX.wav   3,000 files: digits 0 to 9, indices 0 to 49,",
        f"    speakers {', '.join(SPEAKERS)}",
        "for those used in docs/results.md, `export LC_ALL=C; md5sum *.wav | md5sum` there gives",
        f"    {DIGEST}",
    ]
)
_NAME = re.compile(r"(\d+)_([A-Za-z]+)_(\d+)\.wav")


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """500 recordings of each speaker, below `folder`/fsdd/recordings; unless the section says
    otherwise four speakers are trained with, and two others tested.

    Raises:
        DataError: when recordings are missing, damaged, of another format or not of a digit.
    """
    split = settings if isinstance(settings, SpokenDigits) else SpokenDigits(name="fsdd")
    root = needed_folder("fsdd", folder, LAYOUT) / FOLDER
    names = _check_names(root, observer)
    with observer.meter("reading fsdd", 3000, "recordings") as bar:
        parts = []
        for speakers in (split.train_speakers, split.test_speakers):
            images, labels = [], []
            for speaker in speakers:
                for digit in range(DIGITS):
                    for index in range(INDICES):
                        samples = read_wav(root / f"{digit}_{speaker}_{index}.wav")
                        images.append(log_mel(samples))
                        labels.append(digit)
                        bar.advance(1)
            pixels = torch.from_numpy(np.stack(images)[:, None])
            parts.append((pixels, torch.tensor(labels, dtype=torch.int64)))
    note_tree(TITLE, root, names, DIGEST, observer)
    return in_memory("fsdd", parts[0], parts[1], classes=CLASSES)


def read_wav(path: Path) -> npt.NDArray[np.float32]:
    """Samples of a recording, in [-1, 1), (N,).

    Raises:
        DataError: when it is damaged, empty, or not of one channel, 16 bits and 8 kHz.
    """
    try:
        with wave.open(io.BytesIO(read_some(path, MAX_BYTES))) as file:
            kind = file.getnchannels(), 8 * file.getsampwidth(), file.getframerate()
            expected = file.getnframes() * file.getnchannels() * file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, RuntimeError, ValueError, wave.Error) as error:
        reason = str(error) or "its header does not match its length"
        raise unreadable(TITLE, path, reason, LAYOUT) from error
    if kind != (1, 16, RATE):
        raise DataError(
            f"the recording `{path.name}` has {kind[0]} channels of {kind[1]} bits at {kind[2]} Hz",
            where=str(path),
            why="recordings of FSDD have 1 channel of 16 bits at 8000 Hz",
            do=LAYOUT,
        )
    if not raw or len(raw) != expected:
        raise unreadable(TITLE, path, f"it has {len(raw)} of {expected} bytes", LAYOUT)
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)


def _check_names(root: Path, observer: Observer) -> list[str]:
    """The 3,000 names; missing recordings and those with a wrong digit are errors, additional
    speakers and takes are noted."""
    found = {path.name for path in root.iterdir()} if root.is_dir() else set()
    expected = [
        f"{digit}_{speaker}_{index}.wav"
        for digit in range(DIGITS)
        for speaker in SPEAKERS
        for index in range(INDICES)
    ]
    missing = [name for name in expected if name not in found]
    if missing:
        raise incomplete(TITLE, root, missing, LAYOUT)
    others = 0
    for name in sorted(found - set(expected)):
        parts = _NAME.fullmatch(name)
        if parts is None:
            continue
        if int(parts[1]) >= DIGITS:
            raise DataError(
                f"the recording `{name}` has the label {parts[1]}, which is not a digit",
                where=str(root / name),
                why="the first number of the name is the spoken digit, 0 to 9",
                do="rename or remove the file",
            )
        others += 1
    if others:
        observer.note(
            f"note: {others:,} recordings in {root} are not among the 3,000 and are not used"
        )
    return expected
