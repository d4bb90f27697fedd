"""What costs are fitted to: counts made of a block's parameters."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp

from qdeploy.devices.families import XC7
from qdeploy.devices.xc7_memories import Mapped

# The blocks of this family are measured: its memories and DSP blocks are counted.
MEASURED = XC7.measured()

Parameters = Mapping[str, int | str]

# Facts of a block whose memories are written: how many there are, bits of a word of each together.
LOADS, LOAD_BITS = "LOADS", "LOAD_BITS"


@dataclass(frozen=True, slots=True)
class Features:
    """Counts of one block, in the order of its coefficients in `hw/costs`.

    Args:
        variant: blocks of one module that are built differently have coefficients of their own.
        lut, ff: counts that LUTs and flip-flops are linear in.
        lutram: LUTs that are memory; `tables`: LUTs of tables of weights. Both are known.
    """

    variant: str
    lut: tuple[float, ...]
    ff: tuple[float, ...]
    lutram: int = 0
    bram18: int = 0
    dsp: int = 0
    tables: int = 0

    @property
    def fixed_lut(self) -> int:
        """LUTs that need no fit."""
        return self.lutram + self.tables


Count = Callable[[Parameters], Features]

MODULES = "qdeploy.dataflow.cost.modules"
_features: dict[str, Count] = {}


def features_of(module: str) -> Callable[[Count], Count]:
    """Decorator: this function counts the features of a module of `hw/rtl`."""

    def register(count: Count) -> Count:
        _features[module] = count
        return count

    return register


@functools.cache
def all_features() -> Mapping[str, Count]:
    """Module of `hw/rtl` -> what counts its features, from every file in `cost/modules`."""
    package = importlib.import_module(MODULES)
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{MODULES}.{found.name}")
    return dict(sorted(_features.items()))


@functools.lru_cache(maxsize=4096)
def clog2(number: int) -> int:
    """Verilog's $clog2."""
    return (number - 1).bit_length() if number > 1 else 0


@functools.lru_cache(maxsize=4096)
def cycle_bits(number: int) -> int:
    """Bits of a `qd_cycle` of `number` steps."""
    return clog2(number) + 1 if number > 1 else 0


def ints(parameters: Parameters, *names: str) -> list[int]:
    """Values of integer parameters."""
    return [int(parameters[name]) for name in names]


@functools.lru_cache(maxsize=1 << 16)
def rom_columns(width: int, depth: int) -> float:
    """Columns of a ROM that differ from one another and change: about M·(1 - e^(-width/M)) of
    `width` drawn ones, M = 2^depth - 2."""
    if depth <= 1:
        return 0.0
    if depth >= 16:
        return float(width)
    kinds = float((1 << depth) - 2)
    return kinds * (1.0 - exp(-width / kinds))


def memory(p: Parameters, width: int, words: int, style: str = "auto") -> Mapped:
    """What a memory of numbers becomes: never written, or by the configuration stream."""
    kind = MEASURED.ram if p.get(LOADS) else MEASURED.rom
    return kind(width, words, style)


def rom_luts(width: int, depth: int) -> float:
    """Tables of a ROM in logic: one a column for each 64 words; of two words half a one."""
    return rom_columns(width, depth) * (0.5 if depth == 2 else -(-depth // 64))


def switches(width: int, mapped: Mapped) -> float:
    """LUTs that choose among the banks of a memory, about a third of a LUT for each input."""
    return width * (mapped.banks - 1) / 3 if mapped.banks > 1 else 0.0
