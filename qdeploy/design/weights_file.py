"""A file of weights for programs without npz, such as the driver in C: words and bytes.

words   32 bits, little-endian: magic, version, the design's id, bytes and CRC-32 of the image,
        golden frames, results of a frame
words   the results of the golden frames, in the order of the stream, modulo 2^32
bytes   the image for the configuration stream
word    CRC-32 of all before it

`export/pynq/bare_metal/qd_weights.c` reads it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.design.loading import checksum

MAGIC = b"QDWT"
FORMAT = 1


def weights_file(identity: str, image: bytes, outputs: npt.NDArray[np.integer[Any]]) -> bytes:
    """The file.

    Args:
        identity: the design's id, eight hexadecimal digits.
        outputs: (golden frames, results of a frame), of 32 bits at most.
    """
    frames, elements = outputs.shape
    header = struct.pack(
        "<6I", FORMAT, int(identity, 16), len(image), checksum(image), frames, elements
    )
    results = (outputs.astype(np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()
    content = MAGIC + header + results + image
    return content + struct.pack("<I", zlib.crc32(content))
