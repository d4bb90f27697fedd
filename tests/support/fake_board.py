"""A stand-in for a PYNQ board: the `pynq` module's interface over the Verilated shell and core.

What is real here: the Verilog of the package, the register protocol, the DMA's TLAST rule, and the
driver. What is not: the DMA, a model of the manual's (`board_model.cpp`); memory and caches,
modelled as two copies of each buffer, one the processor's and one the DMA's; and the bitstream.
"""

from __future__ import annotations

import ctypes
import json
import os
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.tools import find_tool, run_tool

_HERE = Path(__file__).resolve().parent
DMA_BASE, SHELL_BASE = 0x40400000, 0x43C00000
FIRST_ADDRESS = 0x10000000
ADDRESS_MASK = 0xFFF


def build_model(package: Path, work: Path, netlist: Sequence[Path] = ()) -> Path:
    """Verilate the package's RTL into a shared library.

    Args:
        netlist: of the shell with the core, and models of its cells, in place of the RTL.
    """
    bundle = json.loads((package / "bundle.json").read_text(encoding="utf-8"))
    design = json.loads((package / "rtl/design.json").read_text(encoding="utf-8"))
    names = [*design["sources"], "qd_shell_regs.v", "qd_shell.v"]
    sources = list(netlist) or [package / "rtl" / name for name in names]
    values = {
        "ADDRESS_MASK": ADDRESS_MASK,
        "IN_BYTES": bundle["input"]["dma_bytes_per_beat"],
        "OUT_BYTES": bundle["output"]["dma_bytes_per_beat"],
    }
    library, model = work / "board.so", work / "model"
    model.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [find_tool("verilator"), "--cc", "-Wall"]
    command += ["--top-module", "qd_shell", "--prefix", "Vdut", "--Mdir", model]
    # Names of a netlist are not chosen, and a cell's open ports are meant.
    command += ["-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT"] if netlist else []
    run_tool([*command, *sources], package / "rtl", work / "verilator.log", timeout=600)
    # What all models share is compiled once; the driver among it looks for a model of its own.
    lines = [f"#define {name} {value}" for name, value in values.items()]
    lines += ["#pragma GCC visibility push(default)", f'#include "{_HERE / "board_model.cpp"}"']
    lines += [
        "#pragma GCC visibility pop",
        '#include "model.h"',
        "QdModel qd_bind() { return {}; }",
    ]
    (model / "bind.cpp").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Not where this module stands in for the board: its Python has numpy and little else.
    from qdeploy.sim.compiler import compile_whole

    compile_whole(model, library, "-O1", work)
    return library


def bit_file(path: Path, part: str = "7z020clg400", size: int = 64, cut: int = 0) -> None:
    """A .bit file with nothing in it, `cut` bytes short, and its .hwh."""
    fields = b"\x00\x09\x0f\xf0\x0f\xf0\x0f\xf0\x0f\xf0\x00\x00\x01"
    for letter, text in zip(
        "abcd", ("qd_system_wrapper;UserID=0", part, "2026", "12"), strict=True
    ):
        value = text.encode() + b"\x00"
        fields += letter.encode() + len(value).to_bytes(2, "big") + value
    data = fields + b"e" + size.to_bytes(4, "big") + bytes(size)
    path.write_bytes(data[: len(data) - cut])
    path.with_suffix(".hwh").write_text("<EDKSYSTEM/>\n", encoding="utf-8")


class Buffer(np.ndarray):
    """What `pynq.allocate` returns: the processor's copy of memory that the DMA has as well."""

    board: FakeBoard
    physical_address = 0
    freed = False

    def flush(self) -> None:
        """The whole buffer, whatever is in use, as pynq 4.0 does."""
        assert not self.freed, "memory in use that was given back"
        self.board.memory[self.physical_address][:] = self
        self.board.synced += self.nbytes

    def invalidate(self) -> None:
        """As `flush`, the other way."""
        assert not self.freed, "memory in use that was given back"
        self[:] = self.board.memory[self.physical_address]
        self.board.synced += self.nbytes

    def freebuffer(self) -> None:
        """Unmaps it: whoever reads it afterwards gets a segmentation fault on a board."""
        if not self.freed:
            self.freed = True
            self.board.release(self)


class FakeBoard:
    """One board; `module()` is its `pynq`.

    Attributes:
        pauses: percent of cycles in which either DMA channel pauses.
        pace: clock cycles that pass with each access to a register of the DMA.
        drop: bytes of each input packet that get lost, so that too few results come.
        stall_send: nothing leaves the DMA any more.
        early: bytes of results after which the batch's end comes.
        never_resets: the DMA's reset does not end.
        scatter_gather: the DMA was built with descriptors.
        blocks: names of the blocks in the bitstream.
        interrupt: called at every access to a register of the DMA, with its number.
        synced: bytes that went between the two copies of memory.
        freed_in_use: buffers given back while the DMA moved data.
    """

    def __init__(self, library: Path, rtl: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.board_new.restype = ctypes.c_void_p
        self._library.board_dma_read.restype = ctypes.c_uint32
        self._rtl = rtl
        self.pauses, self.pace = 30, 200
        self.drop = self.early = 0
        self.stall_send = self.never_resets = self.scatter_gather = False
        self.blocks = ["axi_dma_0", "qd_shell_0"]
        self.length_bits = 26
        self.interrupt: Any = None
        self.accesses = self.transfers = self.synced = 0
        self.freed_in_use = 0
        self.memory: dict[int, np.ndarray] = {}
        self.allocated: list[int] = []
        self.next_address = FIRST_ADDRESS
        self.loaded: list[tuple[str, bool]] = []
        self.mhz = 50.0
        self.slowest, self.fastest = 0.0, 1000.0
        self._handle: ctypes.c_void_p | None = None

    def module(self) -> types.ModuleType:
        """A module with what the driver takes from `pynq`."""
        board = self

        class ClocksMeta(type):
            @property
            def fclk0_mhz(cls) -> float:
                return board.mhz

            @fclk0_mhz.setter
            def fclk0_mhz(cls, mhz: float) -> None:
                board.mhz = max(board.slowest, min(mhz, board.fastest))

        class Clocks(metaclass=ClocksMeta):
            pass

        def overlay(bitfile: str, download: bool = True) -> types.SimpleNamespace:
            board._load(bitfile, download)
            block = {
                "axi_dma_0": {"phys_addr": DMA_BASE, "addr_range": 0x10000},
                "qd_shell_0": {"phys_addr": SHELL_BASE, "addr_range": 0x1000},
            }
            block["axi_dma_0"]["parameters"] = {"c_sg_length_width": str(board.length_bits)}
            return types.SimpleNamespace(ip_dict={name: block.get(name) for name in board.blocks})

        def mmio(base: int, length: int) -> DmaRegisters | Registers:
            return {DMA_BASE: DmaRegisters, SHELL_BASE: Registers}[base](board)

        made = types.ModuleType("pynq")
        made.__dict__.update(Clocks=Clocks, Overlay=overlay, MMIO=mmio, allocate=board.allocate)
        return made

    def allocate(self, shape: tuple[int, ...], dtype: Any = "u4", cacheable: int = 0) -> Buffer:
        """Memory with something in it, as on a board."""
        buffer = np.empty(shape, dtype).view(Buffer)
        buffer[...] = 0xA5
        buffer.board, buffer.physical_address = self, self.next_address
        copy = np.full(shape, 0x5A, dtype)
        self.memory[self.next_address] = copy
        self.allocated.append(buffer.nbytes)
        self._library.board_map(
            self._handle,
            ctypes.c_uint32(buffer.physical_address & 0xFFFFFFFF),
            ctypes.c_void_p(copy.ctypes.data),
            ctypes.c_uint32(buffer.nbytes),
        )
        self.next_address += (buffer.nbytes + 0xFFF) & ~0xFFF
        return buffer

    def release(self, buffer: Buffer) -> None:
        """Take memory back."""
        if self._handle is not None:
            self.freed_in_use += self.busy(0) or self.busy(1)
            self._library.board_unmap(self._handle, ctypes.c_uint32(buffer.physical_address))
        del self.memory[buffer.physical_address]

    def busy(self, receive: int) -> int:
        """Whether a channel of the DMA moves data."""
        return int(self._library.board_busy(self._handle, receive))

    def fault(self, receive: bool, bit: int, after: int = 0) -> None:
        """The next transfer of a channel fails with a bit of DMASR, once so many bytes moved."""
        self._library.board_fault(self._handle, int(receive), ctypes.c_uint32(1 << bit), after)

    def close(self) -> None:
        """Give the model back."""
        if self._handle is not None:
            self._library.board_free(self._handle)
            self._handle = None

    def _load(self, bitfile: str, download: bool) -> None:
        self.loaded.append((bitfile, download))
        if self._handle is not None and not download:
            return
        self.close()
        # Memory files have names relative to the design, and are read when the model starts.
        before = Path.cwd()
        os.chdir(self._rtl)
        try:
            self._handle = ctypes.c_void_p(self._library.board_new())
            # $readmemh runs with the first evaluation, which board_new has done.
        finally:
            os.chdir(before)

    def settings(self) -> None:
        """Tell the model what is set here."""
        self._library.board_set(
            self._handle,
            self.pauses,
            ctypes.c_uint64(0),
            int(self.never_resets),
            int(self.stall_send),
            ctypes.c_uint32(self.drop),
            ctypes.c_uint32(self.early),
            int(self.scatter_gather),
        )

    def access(self) -> None:
        """Before every access to a register of the DMA."""
        self.accesses += 1
        self.settings()
        if self.interrupt is not None:
            self.interrupt(self.accesses)
        self._library.board_run(self._handle, self.pace)

    def read(self, offset: int) -> int:
        data = ctypes.c_uint32()
        assert self._library.board_read(self._handle, offset, ctypes.byref(data)) == 0
        return data.value

    def write(self, offset: int, value: int) -> None:
        skew = (self.transfers % 5) - 2
        assert self._library.board_write(self._handle, offset, ctypes.c_uint32(value), skew) == 0


class Registers:
    """The shell, as `pynq.MMIO` shows it."""

    def __init__(self, board: FakeBoard) -> None:
        self.board = board

    def read(self, offset: int = 0) -> int:
        self.board.settings()
        return self.board.read(offset)

    def write(self, offset: int, value: int) -> None:
        assert type(value) is int, "pynq takes no other integers"
        self.board.settings()
        self.board.write(offset, value)


class DmaRegisters(Registers):
    """The DMA, as `pynq.MMIO` shows it."""

    def read(self, offset: int = 0) -> int:
        self.board.access()
        return int(self.board._library.board_dma_read(self.board._handle, offset))

    def write(self, offset: int, value: int) -> None:
        assert type(value) is int, "pynq takes no other integers"
        self.board.access()
        if offset == 0x28:
            self.board.transfers += 1
        self.board._library.board_dma_write(self.board._handle, offset, ctypes.c_uint32(value))


def stand_in(package: Path, work: Path) -> FakeBoard:
    """A board with the package's hardware, its bitstream in name only."""
    (package / "bitstream").mkdir()
    bit_file(package / "bitstream/accelerator.bit")
    return FakeBoard(build_model(package, work), package / "rtl")
