"""Families of parts: everything that depends on one, in one object found by its name.

A new family is one entry here: its Yosys script and what its cells are worth make designs possible
on its parts, the rest refines estimates and proofs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qdeploy.devices import ecp5, xc7_memories, xilinx_cells
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


class Memory(Protocol):
    """What Yosys makes of a memory of `width` x `depth` bits in a style, "auto" included."""

    def __call__(self, width: int, depth: int, style: str = "auto") -> xc7_memories.Mapped: ...


@dataclass(frozen=True)
class Memories:
    """What becomes of memories that are only read, and of those that are written as well."""

    rom: Memory
    ram: Memory


@dataclass(frozen=True)
class Family:
    """A family of parts.

    Args:
        name: as boards and Yosys call it.
        title: as messages call it.
        synthesis: None where designs as a whole cannot be synthesized for it: no board has it.
        memories: how Yosys maps memories, None where nobody looked.
        costs: table of measured block costs (`hw/costs/<costs>.json`) that estimates use, None
            where there is none.
        routing: None where there is no open place and route.
    """

    name: str
    title: str
    synthesis: Synthesis | None = None
    memories: Memories | None = None
    costs: str | None = None
    routing: Routing | None = None

    def synthesized(self) -> Synthesis:
        """`synthesis`, for those who need it.

        Raises:
            InternalError: designs cannot be synthesized for this family.
        """
        if self.synthesis is None:
            raise InternalError(f"designs cannot be synthesized for {self.title}")
        return self.synthesis


def _xilinx(name: str, title: str, *, block_ram_map: bool) -> Family:
    script = XilinxScript(name, block_ram_map)
    return Family(
        name=name,
        title=title,
        synthesis=Synthesis(script, xilinx_cells.worth, xilinx_cells.is_latch),
        memories=Memories(xc7_memories.rom, xc7_memories.ram),
        # UltraScale+ has the same LUTs; its own blocks have not been measured.
        costs="xc7",
    )


XC7 = _xilinx("xc7", "Xilinx 7 series", block_ram_map=True)
XCUP = _xilinx("xcup", "Xilinx UltraScale+", block_ram_map=False)
ECP5 = Family(
    name="ecp5",
    title="Lattice ECP5",
    routing=Routing(ecp5.PROGRAM, ecp5.DEVICE, ecp5.SUMMARY, ecp5.commands),
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
