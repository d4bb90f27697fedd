"""Blocks of `hw/rtl` as a wrapper uses them: parameters with the library's defaults, widths of
their streams."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import prod

from qdeploy.errors import InternalError
from qdeploy.resources import resource
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.memories.verilog import Instance, Value, defaults

LIBRARY = "hw/rtl"

# Module -> bits of its inputs and of its outputs, as sums of products of parameters.
_STREAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "qd_mvu": (("SIMD*AB",), ("PE*OB",)),
    "qd_unrolled": (("MW*AB",), ("MH*OB",)),
    "qd_depthwise": (("PE*AB",), ("PE*OB",)),
    "qd_threshold": (("PE*ACC",), ("PE*OB",)),
    "qd_requant": (("PE*ACC",), ("PE*OB",)),
    "qd_extend": (("PE*IB",), ("PE*OB",)),
    "qd_bias": (("PE*IB",), ("PE*OB",)),
    "qd_add": (("PE*B0", "PE*B1"), ("PE*OB",)),
    "qd_pad": (("WIDTH",), ("WIDTH",)),
    "qd_window": (("WIDTH",), ("WIDTH",)),
    "qd_window_parallel": (("WIDTH",), ("KH*KW*WIDTH",)),
    "qd_maxpool": (("PE*BITS",), ("PE*BITS",)),
    "qd_global_sum": (("PE*BITS",), ("PE*OB",)),
    "qd_argmax": (("PE*BITS",), ("IDX",)),
    "qd_concat": (("PE*B0", "PE*B1"), ("PE*OB",)),
    "qd_beside": (("L0*B0", "L1*B1"), ("L0*OB+L1*OB",)),
    "qd_upsample": (("WIDTH",), ("WIDTH",)),
    "qd_dilate": (("WIDTH",), ("WIDTH",)),
    "qd_depth_to_space": (("WIDTH",), ("WIDTH",)),
    "qd_fork": (("WIDTH",), ("WIDTH", "WIDTH")),
    "qd_dwc": (("IN_WIDTH",), ("OUT_WIDTH",)),
    "qd_fifo": (("WIDTH",), ("WIDTH",)),
}
# Ports beside streams: bits; an output of the block, or an input.
PROBES = {"qd_fifo": {"fill": 16}}
# Modules with memories, which the configuration stream writes in a design that has one.
LOADED = ("qd_mvu", "qd_depthwise", "qd_threshold", "qd_bias", "qd_requant")
CONFIG_BITS = 10
EMBEDDED = {"qd_unrolled": (("codes", "MW*AB"), ("sums", "MH*ACC"))}


@dataclass(frozen=True)
class Block:
    """A block of a wrapper.

    Args:
        name: of the instance.
        sources, sinks: names of the streams it reads and makes.
        links: nets of the configuration chain into and out of it, empty where it has none.
    """

    module: str
    name: str
    parameters: dict[str, Value]
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    links: tuple[str, ...] = ()

    def number(self, key: str) -> int:
        """A parameter that is a number.

        Raises:
            UnreadableError: it is a text.
        """
        value = self.parameters[key]
        if not isinstance(value, int):
            raise UnreadableError(f"parameter {key} of `{self.module}` is no number: {value!r}")
        return value

    def product(self, formula: str) -> int:
        """Bits by a formula such as `PE*OB`, or a sum of such."""
        terms = formula.split("+")
        return sum(prod(self.number(key) for key in term.split("*")) for term in terms)

    @property
    def in_bits(self) -> list[int]:
        """Bits of its input streams."""
        return [self.product(formula) for formula in _STREAMS[self.module][0]]

    @property
    def out_bits(self) -> list[int]:
        """Bits of its output streams."""
        return [self.product(formula) for formula in _STREAMS[self.module][1]]


def stream_ports(module: str) -> tuple[list[str], list[str]]:
    """Prefixes of a block's input and output streams.

    Raises:
        UnreadableError: the library has no such block.
    """
    if module not in _STREAMS:
        raise UnreadableError(f"`{module}` is no block of the library")
    sides = []
    for letter, formulas in zip("sm", _STREAMS[module], strict=True):
        many = len(formulas) > 1
        sides.append([f"{letter}{index}" if many else letter for index in range(len(formulas))])
    return sides[0], sides[1]


def with_defaults(instance: Instance) -> dict[str, Value]:
    """The parameters an instance has, those that it does not name by default.

    Raises:
        UnreadableError: it names one that the module does not have, or of another type.
    """
    known = library_defaults(instance.module)
    for name, value in instance.parameters.items():
        if name not in known or type(known[name]) is not type(value):
            raise UnreadableError(f"`{instance.module}` has no parameter {name} of {value!r}")
    return known | instance.parameters


@functools.cache
def library_defaults(module: str) -> dict[str, Value]:
    """Parameters of a library module of this version.

    Raises:
        UnreadableError: there is no such module.
    """
    try:
        path = resource(f"{LIBRARY}/{module}.v")
    except InternalError as error:
        raise UnreadableError(f"`{module}` is no module of the library") from error
    return defaults(path.read_text(encoding="utf-8"))
