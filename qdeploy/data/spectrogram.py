"""Log-mel spectrograms of short recordings as bytes.

    frames     256 samples (32 ms) every 128 (16 ms), Hann window; 64 frames: 1.02 s
    spectrum   power of a real Fourier transform of 256 points, 129 bins
    mel        32 triangular filters from 50 to 4000 Hz, m = 2595 · log10(1 + f / 700)
    level      10 · log10(power), relative to the recording's loudest cell
    bytes      -63.75 dB and below is 0, 0 dB is 255: four codes per dB

Recordings longer than 64 frames are cropped to their middle; shorter ones are padded with silence
on both sides. The level is relative, because recordings of different microphones differ in loudness
by more than words do.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

RATE = 8000
FRAME, HOP = 256, 128
FRAMES, BANDS = 64, 32
LOWEST, HIGHEST = 50.0, 4000.0
CODES_PER_DB = 4
SAMPLES = FRAME + (FRAMES - 1) * HOP

Samples = npt.NDArray[np.float32]


def log_mel(samples: Samples) -> npt.NDArray[np.uint8]:
    """Spectrogram, uint8 (32 bands, 64 frames), of samples in [-1, 1] at 8 kHz, (N,); low
    frequencies first."""
    fixed = _middle(samples)
    frames = np.lib.stride_tricks.sliding_window_view(fixed, FRAME)[::HOP]
    window = np.hanning(FRAME + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    mel = filters() @ power.T
    loudest = mel.max()
    if loudest <= 0:
        return np.zeros((BANDS, FRAMES), np.uint8)
    level = 10 * np.log10(np.maximum(mel / loudest, 1e-12))
    return np.clip(np.rint(255 + CODES_PER_DB * level), 0, 255).astype(np.uint8)


def filters() -> npt.NDArray[np.float64]:
    """Triangular filters with peaks of 1, (32 bands, 129 bins)."""
    return mel_filters(BANDS, FRAME, RATE, LOWEST, HIGHEST)


@cache
def mel_filters(
    bands: int, frame: int, rate: int, lowest: float, highest: float
) -> npt.NDArray[np.float64]:
    """Triangular filters with peaks of 1, (bands, frame // 2 + 1 bins), of frequencies in Hz."""
    edges = _hertz(np.linspace(_mel(lowest), _mel(highest), bands + 2))
    bins = np.arange(frame // 2 + 1) * rate / frame
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def _middle(samples: Samples) -> Samples:
    """The middle `SAMPLES` samples, padded with silence on both sides where there are fewer."""
    extra = len(samples) - SAMPLES
    if extra >= 0:
        return samples[extra // 2 : extra // 2 + SAMPLES]
    before = -extra // 2
    return np.pad(samples, (before, -extra - before))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
