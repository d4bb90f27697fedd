"""Spoken digits: features, the split by speakers, and what bad recordings are told."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import data_with, write_fsdd, write_wav
from pydantic import ValidationError

from qdeploy.data import files, fsdd
from qdeploy.data.fsdd import read_wav
from qdeploy.data.load import load_dataset
from qdeploy.data.specs import FSDD
from qdeploy.data.spectrogram import BANDS, FRAMES, filters, log_mel
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.spoken_digits import SPEAKERS, SpokenDigits


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return data_with("fsdd", tmp_path_factory.mktemp("data"))


@pytest.fixture
def written(tmp_path) -> Path:
    write_fsdd(tmp_path)
    return tmp_path


def tone(hertz: float, samples: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(samples) / 8000).astype(np.float32)


def test_two_speakers_are_only_tested_and_four_only_trained_on(folder):
    data = load_dataset("fsdd", folder)
    assert data.train_images.shape == (2000, *FSDD.shape)
    assert data.test_images.shape == (1000, 1, BANDS, FRAMES)
    assert data.test_images.dtype == torch.uint8
    assert torch.bincount(data.test_labels).tolist() == [100] * 10
    assert torch.bincount(data.train_labels).tolist() == [200] * 10
    speaker, digit, take = "yweweler", 7, 13
    path = folder / "fsdd" / "recordings" / f"{digit}_{speaker}_{take}.wav"
    place = 500 + 50 * digit + take
    assert np.array_equal(data.test_images[place, 0].numpy(), log_mel(read_wav(path)))
    assert data.test_labels[place] == digit


def test_a_recipe_says_who_is_tested(folder):
    usual = load_dataset("fsdd", folder)
    given = {"name": "fsdd", "test_speakers": ["jackson"]}
    data = load_dataset(SpokenDigits.model_validate(given), folder)
    assert torch.equal(data.test_images, usual.train_images[500:1000])
    others = usual.train_images[:500], usual.train_images[1000:], usual.test_images
    assert torch.equal(data.train_images, torch.cat(others))
    assert torch.equal(data.train_labels, data.test_labels.repeat(5))


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (["theo", "theo"], "names a speaker twice"),
        (["alice"], "'george', 'jackson'"),
        ([], "at least 1 item"),
        (list(SPEAKERS), "at most 5 items"),
    ],
)
def test_speakers_that_cannot_be_tested_are_refused(speakers, message):
    with pytest.raises(ValidationError, match=message):
        SpokenDigits.model_validate({"name": "fsdd", "test_speakers": speakers})


def test_the_tested_speakers_are_theo_and_yweweler(written):
    root = written / "fsdd" / "recordings"
    silent = written / "silent.wav"
    write_wav(silent, np.zeros(2500))
    for speaker in ("theo", "yweweler"):
        for index in range(50):
            (root / f"0_{speaker}_{index}.wav").unlink()
            os.link(silent, root / f"0_{speaker}_{index}.wav")
    data = load_dataset("fsdd", written)
    assert torch.equal(data.test_images.amax((1, 2, 3)) == 0, data.test_labels == 0)
    assert int(data.train_images.amax((1, 2, 3)).min()) > 0


def test_other_recordings_than_those_of_the_results_are_noted_and_used(written, monkeypatch):
    monkeypatch.setattr(fsdd, "INDICES", 1)
    root = written / "fsdd" / "recordings"

    def noted() -> bool:
        monkeypatch.setattr(files, "_noted", set())
        notes: list[str] = []
        assert len(load_dataset("fsdd", written, Observer(note=notes.append)).train) == 40
        return any("do not compare accuracies with docs/results.md" in note for note in notes)

    assert noted()
    names = [f"{digit}_{speaker}_0.wav" for digit in range(10) for speaker in SPEAKERS]
    monkeypatch.setattr(fsdd, "DIGEST", files.tree_digest(root, names))
    assert not noted()
    (root / "9_theo_0.wav").unlink()
    os.link(root / "8_theo_0.wav", root / "9_theo_0.wav")
    assert noted()


@pytest.mark.parametrize("hertz", [200, 440, 1000, 2500, 3600])
def test_a_tone_is_loudest_in_the_band_around_it(hertz):
    features = log_mel(tone(hertz))
    middle = features[:, FRAMES // 2]
    band = int(middle.argmax())
    assert middle[band] >= 250
    wanted = int(filters()[:, round(hertz * 256 / 8000)].argmax())
    assert abs(band - wanted) <= 1


def test_spectrum_and_bands_agree_with_a_plain_computation():
    samples = np.random.default_rng(0).normal(0, 0.1, 8320).astype(np.float32)
    features = log_mel(samples)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    powers = np.zeros((BANDS, FRAMES))
    for frame in range(FRAMES):
        spectrum = np.abs(np.fft.fft(samples[128 * frame :][:256] * window)[:129]) ** 2
        for band in range(BANDS):
            powers[band, frame] = sum(f * p for f, p in zip(filters()[band], spectrum, strict=True))
    level = 255 + 4 * 10 * np.log10(powers / powers.max())
    assert np.abs(features - np.clip(level, 0, 255)).max() <= 0.51


def test_loudness_does_not_matter_and_silence_is_zero():
    samples = np.concatenate([tone(500, 2000), tone(1500, 2000)])
    assert np.array_equal(log_mel(samples), log_mel(samples * np.float32(0.25)))
    assert log_mel(np.zeros(3000, np.float32)).max() == 0


def test_short_recordings_lie_in_the_middle_and_long_ones_keep_theirs():
    features = log_mel(tone(500, 1280))
    heard = np.flatnonzero(features.max(axis=0) > 0)
    assert (heard[0] + heard[-1]) / 2 == pytest.approx((FRAMES - 1) / 2, abs=1)
    assert len(heard) <= 12
    long = np.concatenate([np.zeros(4000), tone(500, 8320), np.zeros(4000)]).astype(np.float32)
    assert np.array_equal(log_mel(long), log_mel(tone(500, 8320)))


def test_missing_recordings_are_counted_and_named_with_the_layout(written):
    root = written / "fsdd" / "recordings"
    for index in range(7):
        (root / f"3_theo_{index}.wav").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("fsdd", written)
    assert "3_theo_0.wav, 3_theo_1.wav" in caught.value.what
    assert "and 2 more not found" in caught.value.what
    assert "fsdd/recordings/DIGIT_SPEAKER_INDEX.wav" in (caught.value.do or "")


def test_a_folder_that_is_not_there_is_incomplete(tmp_path):
    with pytest.raises(DataError, match="2,995 more not found"):
        load_dataset("fsdd", tmp_path)


def test_a_label_that_is_no_digit_names_file_and_value(written):
    root = written / "fsdd" / "recordings"
    os.link(root / "1_theo_0.wav", root / "12_theo_0.wav")
    with pytest.raises(DataError, match=r"`12_theo_0\.wav` has the label 12, which is not a"):
        load_dataset("fsdd", written)


def test_other_speakers_are_left_out_and_it_is_noted(written):
    root = written / "fsdd" / "recordings"
    os.link(root / "1_theo_0.wav", root / "1_somebody_0.wav")
    notes: list[str] = []
    assert len(load_dataset("fsdd", written, Observer(note=notes.append)).train) == 2000
    assert any("1 recordings" in note for note in notes)


def replaced(root: Path, content: bytes) -> None:
    path = root / "fsdd" / "recordings" / "5_lucas_9.wav"
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("cut", [0, 3, 20, 44, 500])
def test_a_damaged_recording_is_named(written, cut):
    raw = (written / "fsdd" / "recordings" / "5_lucas_9.wav").read_bytes()
    replaced(written, raw[:cut])
    with pytest.raises(DataError, match=r"`5_lucas_9\.wav` of FSDD is damaged"):
        load_dataset("fsdd", written)


def test_a_wrong_byte_in_the_header_is_told_of_or_does_no_harm(tmp_path):
    path = tmp_path / "0_theo_0.wav"
    write_wav(path, np.arange(100))
    raw = path.read_bytes()
    told = 0
    for place in range(44):
        for value in (0, 1, 16, 127, 128, 255):
            path.write_bytes(raw[:place] + bytes([value]) + raw[place + 1 :])
            try:
                assert len(read_wav(path)) <= 100
            except DataError as error:
                assert "0_theo_0.wav" in error.what
                told += 1
    assert told > 150


def test_a_chunk_longer_than_the_file_is_damage(tmp_path):
    path = tmp_path / "0_theo_0.wav"
    write_wav(path, np.arange(100))
    raw = path.read_bytes()
    path.write_bytes(raw[:17] + b"\x01" + raw[18:])
    with pytest.raises(DataError, match=r"`0_theo_0\.wav` of FSDD is damaged: its header does not"):
        read_wav(path)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (8000, 2)])
def test_another_rate_or_number_of_channels_is_refused(written, rate, channels):
    path = written / "fsdd" / "recordings" / "0_theo_4.wav"
    path.unlink()
    write_wav(path, np.zeros(2000), rate, channels)
    with pytest.raises(DataError, match=f"has {channels} channels of 16 bits at {rate} Hz"):
        load_dataset("fsdd", written)
