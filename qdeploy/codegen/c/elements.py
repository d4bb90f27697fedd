"""How the tensors of a network are held in a microcontroller's memory.

A map is stored pixel by pixel with its channels innermost, (H, W, C); an element takes a byte, or
two or four where its interval needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qdeploy.ir.integer_graph import Tensor


class Element(Enum):
    """Type of an element: C's name of it, the suffix of functions, bytes, smallest and largest."""

    U8 = ("uint8_t", "u8", 1, 0, 255)
    I8 = ("int8_t", "i8", 1, -128, 127)
    U16 = ("uint16_t", "u16", 2, 0, 65535)
    I16 = ("int16_t", "i16", 2, -32768, 32767)
    I32 = ("int32_t", "i32", 4, -(1 << 31), (1 << 31) - 1)

    @property
    def c_type(self) -> str:
        """The type in C."""
        return str(self.value[0])

    @property
    def suffix(self) -> str:
        """What functions for it end in."""
        return str(self.value[1])

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.value[2])

    @property
    def lo(self) -> int:
        """Smallest integer it holds."""
        return int(self.value[3])

    @property
    def hi(self) -> int:
        """Largest integer it holds."""
        return int(self.value[4])

    @staticmethod
    def holding(lo: int, hi: int) -> Element | None:
        """The narrowest type that holds lo … hi, None where 32 bits do not."""
        return next((one for one in Element if one.lo <= lo and hi <= one.hi), None)


@dataclass(frozen=True)
class Stored:
    """A tensor in memory.

    Args:
        name: the tensor's in the integer graph.
        height, width, channels: of a map; a vector is a map of one pixel.
    """

    name: str
    element: Element
    height: int
    width: int
    channels: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def count(self) -> int:
        """Number of elements."""
        return self.pixels * self.channels

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.count * self.element.size


def sizes_of(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width and channels of a tensor; (1, 1, F) of a vector."""
    if len(tensor.shape) == 1:
        return 1, 1, tensor.shape[0]
    channels, height, width = tensor.shape
    return height, width, channels
