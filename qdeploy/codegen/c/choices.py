"""What `--optimize` chooses: flash, RAM and instructions are paid for with one another.

balanced   a byte per code, kernels that take few instructions
ram        codes packed at their bits where that lowers the peak, sums of residual branches fused
           into the convolution before them, layers row by row where that lowers the peak, bands
           as low as one row
    speed      bands as high as maps, fully connected layers as straight code without their zeros
               within 16 KiB, the others with a kernel for their width each
    flash      weights of three values five to a byte where that takes no more than 1,000
               instructions a frame for a byte, fewer kernels, which take fewer products per
               instruction; to be compiled with -Os
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qdeploy.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Choices:
    """How a network is made into C.

    Args:
        staged: convolutions lay out the rows of their windows, where that gives the same.
        packed: maps are packed where the arena is smaller for it.
        fused: an addition runs band by band inside the convolution that feeds it.
        streamed: layers run row by row, depth first, where the arena is smaller for it.
        least_band: rows of a staged convolution at a time, at least.
        byte_price: instructions of a frame that a byte of flash is worth: for no more than that
            weights of three values take 1.6 bits each.
        units: kernels that staged convolutions may have, by names of `staging.Unit`.
        core: whose measured instructions choose among them; without one the first of `units`.
        size: compiled with -Os where flash is measured.
        copied: products from which on a fully connected layer gets a copy of the kernel for its
            width: 250 bytes, and half the instructions.
        straight: bytes of straight code that fully connected layers may take.
        vector: weights of convolutions lie there as bytes once more, for hosts with vectors.
    """

    staged: bool = True
    packed: bool = False
    fused: bool = False
    streamed: bool = False
    least_band: int = 4
    byte_price: float = 0.0
    units: tuple[str, ...] = ("PAIRS", "FOURS", "BYTES")
    core: str = ""
    size: bool = False
    copied: int = 1 << 13
    straight: int = 0
    vector: bool = False


# Of straight code, for `speed`.
STRAIGHT_BYTES = 1 << 14
# Instructions of a frame that a byte of flash is worth, for `flash`.
DEAREST_BYTE = 1000.0
BALANCED = "balanced"
HOST = "host"
OPTIMIZE = {
    BALANCED: Choices(),
    "speed": Choices(least_band=1 << 14, copied=0, straight=STRAIGHT_BYTES),
    "flash": Choices(byte_price=DEAREST_BYTE, units=("FOURS", "BYTES"), size=True, copied=1 << 30),
    "ram": Choices(packed=True, fused=True, streamed=True, least_band=1),
}


def load_choices(name: str, mcu: str) -> Choices:
    """What `--optimize NAME` chooses for a core.

    Raises:
        UserError: there is no such name.
    """
    if name not in OPTIMIZE:
        raise UserError(
            f"nothing is optimized for `{name}`{did_you_mean(name, OPTIMIZE)}",
            where="--optimize",
            do=f"choose one of: {', '.join(OPTIMIZE)}",
        )
    return replace(OPTIMIZE[name], vector=mcu == HOST, core="" if mcu == HOST else mcu)
