"""qd_depth_to_space against ONNX's definition (DCR) in numpy."""

from __future__ import annotations

import pytest
from block_models import STALLS, check_stalled, cycles_between_frames, run_free

LIBRARIES = ("qd_cycle", "qd_level")
BITS = 3
# CF, H, W, B, lanes
SHAPES = {
    "two, one beat a pixel": (1, 3, 4, 2, 2),
    "two, channels folded": (3, 2, 3, 2, 1),
    "three": (2, 2, 3, 3, 2),
    "one pixel": (1, 1, 1, 2, 1),
    "one column": (2, 4, 1, 2, 3),
    "a long row": (1, 2, 40, 2, 1),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys(), scope="module")
def case(request, block_sim):
    fold, height, width, block, lanes = request.param
    parameters = dict(WIDTH=lanes * BITS, CF=fold, W=width, B=block)
    sim = block_sim(
        "qd_depth_to_space", parameters, lanes * BITS, lanes * BITS, libraries=LIBRARIES
    )

    def model(frames):
        # (frames, row, column, row and column of the new pixel, channels)
        return frames.transpose(0, 1, 3, 2, 4, 5, 6)

    return sim, (height, width, block, block, fold, lanes), model


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_lays_channels_out_as_pixels_under_stalls(case, stall_in, stall_out):
    check_stalled(case, BITS, stall_in, stall_out)


def test_takes_and_puts_out_a_beat_every_cycle(case):
    result, beats = run_free(case, BITS)
    rows = case[1][0]
    row = beats // rows
    # Rows of a few beats are written and read one after the other.
    slack = 2 if row < 8 else 0
    assert cycles_between_frames(result, beats, 5) <= beats + slack * rows
    assert result.output_cycles[0][0] == result.input_cycles[0][row - 1] + 2
