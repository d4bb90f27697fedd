"""The configuration stream of a design: which memories it writes, and the image that it carries.

image   bytes of the memories in the order of the chain, nothing between them
memory  words from address 0 on
word    the words of its files side by side, the first file's lowest, zeros above, in as many
        bytes as it needs, lowest first
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

CONFIG_PORT = "s_axis_config"
# Outputs of the top, with their bits: CRC-32 of the image, state of the head (qd_config.v).
CRC_PORT, STATE_PORT = "config_crc", "config_state"
STATUS = ((CRC_PORT, 32), (STATE_PORT, 8))
# (`input` or `output`, bits, name) of the top's ports.
CONFIG_PORTS = (
    ("input", 8, f"{CONFIG_PORT}_tdata"),
    ("input", 1, f"{CONFIG_PORT}_tvalid"),
    ("output", 1, f"{CONFIG_PORT}_tready"),
    ("input", 1, f"{CONFIG_PORT}_tlast"),
    *(("output", bits, name) for name, bits in STATUS),
)
# Of the state: the last image had as many bytes as the memories, or it had not.
WAITING, COMPLETE, INCOMPLETE = 1, 2, 4


@dataclass(frozen=True)
class Load:
    """A memory that the configuration stream writes.

    Args:
        files: memory files of its initial contents, side by side.
        bits: of a word of each file.
        words: of the memory, and of each file.
    """

    files: tuple[str, ...]
    bits: int
    words: int

    @property
    def word_bytes(self) -> int:
        """Bytes of a word in an image."""
        return (self.bits * len(self.files) + 7) // 8

    @property
    def bytes(self) -> int:
        """Bytes of the memory in an image."""
        return self.words * self.word_bytes


@dataclass(frozen=True)
class Loading:
    """What the configuration stream of a design writes.

    Args:
        modules: of the layers in the order of the chain.
        loads: the memories in the order of the chain, over all layers.
    """

    modules: list[str] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of an image."""
        return sum(load.bytes for load in self.loads)


def image_of(loads: Iterable[Load], memories: Mapping[str, Sequence[str]]) -> bytes:
    """The image of memory files.

    Args:
        memories: file name -> words in hexadecimal.

    Raises:
        ValueError: a file does not have the words that its memory has.
    """
    image = bytearray()
    for load in loads:
        columns = [memories[name] for name in load.files]
        if any(len(column) != load.words for column in columns):
            raise ValueError(f"`{load.files[0]}` does not hold {load.words} words")
        for row in zip(*columns, strict=True):
            word = sum(int(text, 16) << (load.bits * at) for at, text in enumerate(row))
            image += word.to_bytes(load.word_bytes, "little")
    return bytes(image)


def checksum(image: bytes) -> int:
    """What the design puts out as `config_crc` when it has taken an image."""
    return zlib.crc32(image)
