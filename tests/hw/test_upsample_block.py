"""qd_upsample against numpy's repeat."""

from __future__ import annotations

import pytest
from block_models import STALLS, check_stalled, cycles_between_frames, run_free

LIBRARIES = ("qd_cycle", "qd_level")
BITS = 3
# CF, H, W, rows and columns per pixel, lanes
SHAPES = {
    "twice": (1, 4, 5, (2, 2), 2),
    "twice, channels folded": (3, 3, 4, (2, 2), 1),
    "three rows, two columns": (2, 2, 3, (3, 2), 3),
    "columns only": (2, 3, 4, (1, 3), 2),
    "columns only, one beat a pixel": (1, 3, 4, (1, 2), 1),
    "rows only": (1, 3, 5, (4, 1), 1),
    "one pixel": (1, 1, 1, (2, 3), 2),
    "one pixel of many beats": (7, 1, 1, (3, 2), 1),
    "a long row": (1, 2, 70, (2, 2), 1),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys(), scope="module")
def case(request, block_sim):
    fold, height, width, (rows, columns), lanes = request.param
    parameters = dict(WIDTH=lanes * BITS, CF=fold, W=width, KH=rows, KW=columns)
    sim = block_sim("qd_upsample", parameters, lanes * BITS, lanes * BITS, libraries=LIBRARIES)

    def model(frames):
        return frames.repeat(rows, axis=1).repeat(columns, axis=2)

    return sim, (height, width, fold, lanes), model


@pytest.mark.parametrize(
    ("stall_in", "stall_out"), [*STALLS, (0.95, 0.0), (0.0, 0.9), (0.7, 0.2), (0.2, 0.7)]
)
def test_repeats_pixels_and_rows_under_stalls(case, stall_in, stall_out):
    check_stalled(case, BITS, stall_in, stall_out)


def test_puts_out_a_beat_every_cycle(case):
    result, beats = run_free(case, BITS)
    assert cycles_between_frames(result, beats, 5) == beats
    assert result.output_cycles[0][0] == result.input_cycles[0][0] + 2
