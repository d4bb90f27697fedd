"""Golden frames as memory files of a testbench: one beat per line, hexadecimal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.artifacts import write_text
from qdeploy.design import packing
from qdeploy.design.manifest import Stream

INPUT_FILE, OUTPUT_FILE = "golden_input.hex", "golden_output.hex"
# Lines of the longer file: what simulators read in a second.
_MOST_LINES = 1 << 20


def golden_count(available: int, *streams: Stream) -> int:
    """How many golden frames a testbench gets: all, unless their files were too long.

    Args:
        available: frames there are.
        streams: input and output.
    """
    beats = max(stream.beats for stream in streams)
    return min(available, max(2, _MOST_LINES // beats))


def write_beats(path: Path, stream: Stream, codes: npt.NDArray[np.integer]) -> None:
    """Write the beats of frames.

    Args:
        codes: (N, *shape of the stream) or (N, elements), in the order of the stream.
    """
    beats = packing.pack(codes, stream.bits, stream.per_beat)
    # Little end first in memory, most significant digit first on paper.
    digits = np.ascontiguousarray(beats[:, ::-1]).tobytes().hex()
    step = 2 * stream.bytes_per_beat
    lines = [digits[at : at + step] for at in range(0, len(digits), step)]
    write_text(path, "\n".join([*lines, ""]))
