"""A stand-in for a PYNQ board: the `pynq` module's interface over the Verilated shell and core.

What is real here: the Verilog of the package, the register protocol, the DMA's TLAST rule, and the
driver. What is not: the DMA itself, memory and caches, and the bitstream.
"""

from __future__ import annotations

import ctypes
import json
import types
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.tools import find_tool, run_tool

_HERE = Path(__file__).resolve().parent


def build_model(package: Path, work: Path) -> Path:
    """Verilate the package's RTL into a shared library."""
    bundle = json.loads((package / "bundle.json").read_text(encoding="utf-8"))
    design = json.loads((package / "rtl/design.json").read_text(encoding="utf-8"))
    names = [*design["sources"], "qd_shell_regs.v", "qd_shell.v"]
    flags = (
        "-fPIC -O1"
        f" -DIN_BYTES={bundle['input']['dma_bytes_per_beat']}"
        f" -DOUT_BYTES={bundle['output']['dma_bytes_per_beat']}"
    )
    work.mkdir(parents=True, exist_ok=True)
    library = work / "board.so"
    # --exe links: with -shared what comes out is a library.
    command: list[str | Path] = [find_tool("verilator"), "--cc", "--exe", "--build", "-Wall"]
    command += ["--top-module", "qd_shell", "--Mdir", work / "model", "-CFLAGS", flags]
    command += ["-LDFLAGS", "-shared", "-o", library]
    command += [package / "rtl" / name for name in names]
    command += [_HERE / "board_model.cpp"]
    run_tool(command, cwd=package / "rtl", log_path=work / "verilator.log", timeout=600)
    return library


class Buffer(np.ndarray):
    """What `pynq.allocate` returns."""

    freed = False

    def freebuffer(self) -> None:
        self.freed = True


def allocate(shape: tuple[int, ...], dtype: Any = np.uint8) -> Buffer:
    """Memory with something in it, as on a board."""
    buffer = np.empty(shape, dtype).view(Buffer)
    buffer[...] = 0xA5
    return buffer


class FakeBoard:
    """One board; `module()` is its `pynq`.

    Attributes:
        pauses: percent of cycles in which either DMA channel pauses.
        limit: cycles after which a transfer counts as not finished.
        drop: bytes of each input transfer that get lost, to make a transfer hang.
    """

    def __init__(self, library: Path, rtl: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.board_new.restype = ctypes.c_void_p
        self._library.board_transfer.restype = ctypes.c_int64
        self._rtl = rtl
        self.pauses = 30
        self.limit = 200_000
        self.drop = 0
        self.transfers = 0
        self.loaded: list[str] = []
        self.mhz = 50.0
        self.slowest, self.fastest = 0.0, 1000.0
        self._handle: ctypes.c_void_p | None = None
        self._armed: dict[str, tuple[Buffer, int]] = {}
        self._idle = {"send": True, "receive": True}

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
            board._load(bitfile)
            return types.SimpleNamespace(
                axi_dma_0=types.SimpleNamespace(
                    sendchannel=Channel(board, "send"), recvchannel=Channel(board, "receive")
                ),
                qd_shell_0=Registers(board),
            )

        made = types.ModuleType("pynq")
        made.__dict__.update(Clocks=Clocks, Overlay=overlay, allocate=allocate)
        return made

    def close(self) -> None:
        """Give the model back."""
        if self._handle is not None:
            self._library.board_free(self._handle)
            self._handle = None

    def _load(self, bitfile: str) -> None:
        import os

        self.close()
        self.loaded.append(bitfile)
        # Memory files have names relative to the design, and are read when the model starts.
        before = Path.cwd()
        os.chdir(self._rtl)
        try:
            self._handle = ctypes.c_void_p(self._library.board_new())
            # $readmemh runs with the first evaluation, which board_new has done.
        finally:
            os.chdir(before)

    def read(self, offset: int) -> int:
        data = ctypes.c_uint32()
        assert self._library.board_read(self._handle, offset, ctypes.byref(data)) == 0
        return data.value

    def write(self, offset: int, value: int) -> None:
        skew = (self.transfers % 5) - 2
        assert self._library.board_write(self._handle, offset, ctypes.c_uint32(value), skew) == 0

    def arm(self, channel: str, buffer: Buffer, size: int) -> None:
        assert self._idle[channel], "a transfer on a channel that is not idle"
        if channel == "send":
            # A DMA sends at once: the receiver has to be there first.
            assert "receive" in self._armed, "sent before the receiver was armed"
        self._armed[channel] = (buffer, size)
        self._idle[channel] = False
        if len(self._armed) == 2:
            self._move()

    def _move(self) -> None:
        (source, in_bytes), (sink, out_bytes) = self._armed["send"], self._armed["receive"]
        self._armed = {}
        self.transfers += 1
        received = self._library.board_transfer(
            self._handle,
            ctypes.c_void_p(source.ctypes.data),
            ctypes.c_int64(in_bytes - self.drop),
            ctypes.c_void_p(sink.ctypes.data),
            ctypes.c_int64(out_bytes),
            self.pauses,
            ctypes.c_uint64(self.transfers),
            ctypes.c_int64(self.limit),
        )
        self._idle = {"send": received >= 0, "receive": received == out_bytes}

    def stop(self, channel: str) -> None:
        self._armed.pop(channel, None)
        self._idle[channel] = True


class Channel:
    """One channel of the DMA."""

    def __init__(self, board: FakeBoard, name: str) -> None:
        self._board, self._name = board, name

    @property
    def idle(self) -> bool:
        return self._board._idle[self._name]

    def transfer(self, buffer: Buffer, start: int = 0, nbytes: int = 0) -> None:
        assert isinstance(buffer, Buffer), "only memory from allocate can be transferred"
        assert start == 0
        assert 0 < nbytes <= buffer.nbytes
        self._board.arm(self._name, buffer, nbytes)

    def wait(self) -> None:
        assert self.idle, "would wait for ever"

    def stop(self) -> None:
        self._board.stop(self._name)

    def start(self) -> None:
        return None


class Registers:
    """The shell as PYNQ's default driver shows it."""

    def __init__(self, board: FakeBoard) -> None:
        self._board = board

    def read(self, offset: int = 0) -> int:
        return self._board.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._board.write(offset, value)


def stand_in(package: Path, work: Path) -> FakeBoard:
    """A board with the package's hardware, its bitstream in name only."""
    (package / "bitstream").mkdir()
    for name in ("accelerator.bit", "accelerator.hwh"):
        (package / "bitstream" / name).touch()
    return FakeBoard(build_model(package, work), package / "rtl")
