"""How the tensors of a network are held in a microcontroller's memory.

A map is stored pixel by pixel with its channels innermost, (H, W, C); an element takes a byte, or
two or four where its interval needs them. Codes without sign of up to 4 bits may be packed instead:
element i of b bits is in bits b·(i mod 8/b) … of byte ⌊b·i/8⌋.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qdeploy.ir.integer_graph import Tensor


class Element(Enum):
    """Type of an element: C's name of it, the suffix of functions, bits, smallest and largest."""

    U8 = ("uint8_t", "u8", 8, 0, 255)
    I8 = ("int8_t", "i8", 8, -128, 127)
    U16 = ("uint16_t", "u16", 16, 0, 65535)
    I16 = ("int16_t", "i16", 16, -32768, 32767)
    I32 = ("int32_t", "i32", 32, -(1 << 31), (1 << 31) - 1)
    U1 = ("uint8_t", "u1", 1, 0, 1)
    U2 = ("uint8_t", "u2", 2, 0, 3)
    U4 = ("uint8_t", "u4", 4, 0, 15)

    @property
    def c_type(self) -> str:
        """The type in C."""
        return str(self.value[0])

    @property
    def suffix(self) -> str:
        """What functions for it end in."""
        return str(self.value[1])

    @property
    def bits(self) -> int:
        """Bits that an element takes."""
        return int(self.value[2])

    @property
    def packed(self) -> bool:
        """Whether a byte holds several."""
        return self.bits < 8

    @property
    def size(self) -> int:
        """Bytes of an element that is not packed."""
        return self.bits // 8

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
        """The narrowest type of whole bytes for lo … hi, None where 32 bits do not hold them."""
        fitting = (one for one in Element if one.lo <= lo and hi <= one.hi and not one.packed)
        return next(fitting, None)

    @staticmethod
    def packing(lo: int, hi: int) -> Element | None:
        """The narrowest packed type that holds lo … hi, None where there is none."""
        packed = (Element.U1, Element.U2, Element.U4)
        return next((one for one in packed if one.lo <= lo and hi <= one.hi), None)


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
        return -(-self.count * self.element.bits // 8)


def sizes_of(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width and channels of a tensor; (1, 1, F) of a vector."""
    if len(tensor.shape) == 1:
        return 1, 1, tensor.shape[0]
    channels, height, width = tensor.shape
    return height, width, channels
