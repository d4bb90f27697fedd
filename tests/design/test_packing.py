"""Codes to beats and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, int, int, bool]:
    bits, per_beat = draw(st.integers(1, 32)), draw(st.integers(1, 20))
    signed, beats = draw(st.booleans()), draw(st.integers(0, 5))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = rng.integers(low, high + 1, beats * per_beat)
    if codes.size:
        codes[0], codes[-1] = low, high
    return codes, bits, per_beat, signed


@given(streams())
@settings(max_examples=200, deadline=None)
def test_unpack_gives_back_what_pack_took(stream: tuple[np.ndarray, int, int, bool]) -> None:
    codes, bits, per_beat, signed = stream
    assert_array_equal(unpack(pack(codes, bits, per_beat), bits, per_beat, signed), codes)


@given(streams())
@settings(max_examples=100, deadline=None)
def test_a_beat_is_the_weighted_sum_of_its_codes(
    stream: tuple[np.ndarray, int, int, bool],
) -> None:
    codes, bits, per_beat, _ = stream
    beats = pack(codes, bits, per_beat)
    assert beats.shape == (len(codes) // per_beat, (bits * per_beat + 7) // 8)
    for beat, row in zip(beats, codes.reshape(-1, per_beat), strict=True):
        value = sum((int(code) % (1 << bits)) << (i * bits) for i, code in enumerate(row))
        assert int.from_bytes(beat.tobytes(), "little") == value


def test_codes_of_any_shape_and_small_types_pack_alike() -> None:
    codes = np.arange(24) % 4
    wanted = pack(codes, 2, 3)
    assert_array_equal(pack(codes.reshape(2, 3, 4).astype(np.uint8), 2, 3), wanted)
    assert_array_equal(pack(codes.astype(np.int8)[:, None], 2, 3), wanted)


@pytest.mark.parametrize(
    "codes, bits, per_beat, message",
    [
        ([4], 2, 1, "do not fit 2 bits"),
        ([-3], 2, 1, "do not fit 2 bits"),
        ([1, 2, 3], 2, 2, "3 codes do not fill beats of 2"),
        ([1], 33, 1, "bits are 1 to 32"),
    ],
)
def test_codes_that_cannot_travel_are_refused(
    codes: list[int], bits: int, per_beat: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pack(codes, bits, per_beat)


def test_beats_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="3 x 5 bits take 2 bytes"):
        unpack(np.zeros((4, 3), np.uint8), 5, 3, signed=False)
