"""qd_dilate against a map of zeros with the pixels set."""

from __future__ import annotations

import numpy as np
import pytest
from block_models import STALLS, check_stalled, cycles_between_frames, run_free

LIBRARIES = ("qd_cycle", "qd_spaced", "qd_skid")
BITS = 3
# CF, H, W, steps, lanes
SHAPES = {
    "twice": (1, 4, 5, (2, 2), 2),
    "channels folded": (3, 3, 4, (2, 2), 1),
    "three rows, two columns": (2, 2, 3, (3, 2), 3),
    "columns only": (2, 3, 4, (1, 4), 2),
    "rows only": (1, 3, 5, (2, 1), 1),
    "one pixel": (2, 1, 1, (2, 3), 2),
    "one row": (1, 1, 6, (3, 3), 1),
    "one column": (1, 6, 1, (3, 2), 1),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys(), scope="module")
def case(request, block_sim):
    fold, height, width, (down, right), lanes = request.param
    parameters = dict(WIDTH=lanes * BITS, CF=fold, H=height, W=width, SH=down, SW=right)
    sim = block_sim("qd_dilate", parameters, lanes * BITS, lanes * BITS, libraries=LIBRARIES)

    def model(frames):
        count, rows, columns = frames.shape[:3]
        shape = (count, (rows - 1) * down + 1, (columns - 1) * right + 1, *frames.shape[3:])
        wide = np.zeros(shape, np.int64)
        wide[:, ::down, ::right] = frames
        return wide

    return sim, (height, width, fold, lanes), model


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_puts_zeros_between_pixels_under_stalls(case, stall_in, stall_out):
    check_stalled(case, BITS, stall_in, stall_out)


def test_puts_out_a_beat_every_cycle(case):
    result, beats = run_free(case, BITS)
    assert cycles_between_frames(result, beats, 5) == beats
    assert result.output_cycles[0][0] == result.input_cycles[0][0] + 1
