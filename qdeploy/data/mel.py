"""Log-mel spectra of windows, as real numbers.

spectrum   power of a real Fourier transform of `frame` samples, Hann window, every `hop`
mel        triangular filters, m = 2595 · log10(1 + f / 700)
level      10 · log10(power), not below -100 dB; relative: to the window's loudest cell, not
           below -80 dB
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.data.spectrogram import mel_filters
from qdeploy.recipe.series import LogMel


def levels(
    samples: npt.NDArray[np.float32], rate: int, settings: LogMel
) -> npt.NDArray[np.float32]:
    """Decibels (channels, bands, frames) of samples (channels, N) at `rate` Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, settings.frame, axis=1)
    window = np.hanning(settings.frame + 1)[:-1]
    power = np.abs(np.fft.rfft(frames[:, :: settings.hop] * window, axis=2)) ** 2
    bank = mel_filters(
        settings.bands, settings.frame, rate, settings.lowest, settings.highest or rate / 2
    )
    mel = np.einsum("bk,cfk->cbf", bank, power)
    if settings.relative:
        loudest = mel.max(axis=(1, 2), keepdims=True)
        mel = np.maximum(mel / np.where(loudest > 0, loudest, 1.0), 1e-8)
    level: npt.NDArray[np.float32] = (10 * np.log10(np.maximum(mel, 1e-10))).astype(np.float32)
    return level
