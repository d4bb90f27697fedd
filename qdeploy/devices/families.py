"""Families of parts: everything that depends on one, in one object found by its name.

A new family is one entry here: its Yosys script and what its cells use make designs possible on its
parts, the rest refines estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qdeploy.devices import ecp5, xc7_dsps, xc7_memories, xilinx_cells, xilinx_times
from qdeploy.devices.capacity import Counts
from qdeploy.devices.xilinx_synthesis import XilinxScript
from qdeploy.errors import InternalError


class Script(Protocol):
    """Yosys commands that make a netlist of the family's primitives."""

    @property
    def summary(self) -> str:
        """The command in short, as `resources.json` names it."""

    def commands(self, module: str, share: Path, scratch: Path) -> list[str]:
        """Commands from the sources that were read to the netlist of `module`.

        Args:
            share: Yosys' folder of data files.
            scratch: folder for files the commands need.
        """


@dataclass(frozen=True)
class Synthesis:
    """How designs are synthesized and counted.

    Args:
        script: Yosys commands.
        worth: what one cell uses of a part; None for a cell that is no primitive of the family.
        is_latch: whether a cell is a latch, which no design has on purpose.
    """

    script: Script
    worth: Callable[[str], Counts | None]
    is_latch: Callable[[str], bool]


@dataclass(frozen=True)
class Routing:
    """Open place and route, where there is one.

    Args:
        program: nextpnr's program, also the name of its PyPI package.
        device: its options that choose the part.
        summary: Yosys' command in short.
        commands: top, JSON netlist, whether products may become DSP blocks -> Yosys commands.
    """

    program: str
    device: tuple[str, ...]
    summary: str
    commands: Callable[[str, str, bool], list[str]]


@dataclass(frozen=True)
class CellTimes:
    """Delays of a family's cells, where Yosys has them.

    Args:
        verilog: Yosys' folder of data files -> Verilog of the cells with their delays in ps.
        dedicated: pins, as `KIND.PIN`, in front of which there is no routing.
    """

    verilog: Callable[[Path], str]
    dedicated: frozenset[str]


class Memory(Protocol):
    """What Yosys makes of a memory of `width` x `depth` bits in a style, "auto" included."""

    def __call__(self, width: int, depth: int, style: str = "auto") -> xc7_memories.Mapped: ...


@dataclass(frozen=True)
class BlockMapping:
    """What Yosys makes of the memories and products in blocks of `hw/rtl`, exactly and as numbers.

    Args:
        rom, ram: of memories that are only read, and of those that are written as well.
        dsps: bits of both operands -> DSP blocks of a signed product.
    """

    rom: Memory
    ram: Memory
    dsps: Callable[[int, int], int]


@dataclass(frozen=True)
class Family:
    """A family of parts.

    Args:
        name: as boards and Yosys call it.
        title: as messages call it.
        synthesis: None where designs as a whole cannot be synthesized for it: no board has it.
        costs: family whose measured block costs (`hw/costs/<costs>.json`) estimates use; another
            one's where its own blocks have not been measured.
        mapping: what estimates count exactly, None where `costs` is another family's.
        routing: None where there is no open place and route.
        times: None where the delays of its cells are not known.
    """

    name: str
    title: str
    synthesis: Synthesis | None = None
    costs: str = "xc7"
    mapping: BlockMapping | None = None
    routing: Routing | None = None
    times: CellTimes | None = None

    def synthesized(self) -> Synthesis:
        """`synthesis`, for those who need it.

        Raises:
            InternalError: designs cannot be synthesized for this family.
        """
        if self.synthesis is None:
            raise InternalError(f"designs cannot be synthesized for {self.title}")
        return self.synthesis

    def measured(self) -> BlockMapping:
        """`mapping`, for those who need it.

        Raises:
            InternalError: blocks have not been measured for this family.
        """
        if self.mapping is None:
            raise InternalError(f"blocks have not been measured for {self.title}")
        return self.mapping


def _xilinx(name: str, *, block_ram_map: bool) -> Synthesis:
    script = XilinxScript(name, block_ram_map)
    return Synthesis(script, xilinx_cells.worth, xilinx_cells.is_latch)


XC7 = Family(
    name="xc7",
    title="Xilinx 7 series",
    synthesis=_xilinx("xc7", block_ram_map=True),
    mapping=BlockMapping(xc7_memories.rom, xc7_memories.ram, xc7_dsps.product),
    times=CellTimes(xilinx_times.cells, xilinx_times.DEDICATED),
)
XCUP = Family(
    name="xcup",
    title="Xilinx UltraScale+",
    synthesis=_xilinx("xcup", block_ram_map=False),
)
ECP5 = Family(
    name="ecp5",
    title="Lattice ECP5",
    routing=Routing(ecp5.PROGRAM, ecp5.DEVICE, ecp5.SUMMARY, ecp5.commands),
    times=CellTimes(ecp5.cells, ecp5.DEDICATED),
)
FAMILIES = {family.name: family for family in (XC7, XCUP, ECP5)}


def find_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        InternalError: there is none; boards with an unknown family are refused when they are read.
    """
    if name not in FAMILIES:
        raise InternalError(
            f"the device family `{name}` is not known", do=f"known: {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]
