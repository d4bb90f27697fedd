"""The program of a package's `bare_metal`, on a Cortex-A9 or Cortex-A53 in QEMU.

Every shipped file is compiled for the core, main.c and the port for AMD's BSP too. The BSP itself
is `arm/bridge.c`: registers and cache operations go over a serial line to this side, where the
Verilated shell and the DMA of `fake_board` answer. The core's memory is QEMU's; what the DMA sees
of it is a copy on this side.
"""

from __future__ import annotations

import ctypes
import select
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fake_board
import numpy as np

_HERE = Path(__file__).resolve().parent
SHELL, DMA, RANGE = 0x50010000, 0x50000000, 0x1000
LINE, PATIENCE_S = 64, 120.0
MEMORY = 1 << 24


@dataclass(frozen=True)
class Core:
    """A processor, Debian's compiler for it, and a machine of QEMU that has one.

    Args:
        text, weights: addresses of the program and of a file of weights, in the machine's memory.
        uart: address of its PL011.
    """

    compiler: str
    flags: tuple[str, ...]
    qemu: tuple[str, ...]
    text: int
    weights: int
    uart: int


CORES = {
    "cortex-a9": Core(
        "arm-linux-gnueabihf-gcc",
        ("-mcpu=cortex-a9", "-mfpu=neon"),
        ("qemu-system-arm", "-M", "vexpress-a9"),
        0x60010000,
        0x64000000,
        0x10009000,
    ),
    "cortex-a53": Core(
        "aarch64-linux-gnu-gcc",
        ("-mcpu=cortex-a53",),
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"),
        0x40080000,
        0x44000000,
        0x09000000,
    ),
}


def build_program(core: Core, folder: Path, out: Path, defined: Sequence[str] = ()) -> Path:
    """The program of a folder `bare_metal`.

    Args:
        defined: macros, as NAME=VALUE.
    """
    command: list[str | Path] = [core.compiler, *core.flags, "-O2", "-std=c99", "-ffreestanding"]
    command += ["-fno-pic", "-no-pie", "-static", "-nostdlib", "-fno-tree-loop-distribute-patterns"]
    command += [f"-DUART={core.uart:#x}", *(f"-D{one}" for one in defined)]
    command += ["-isystem", _HERE / "arm", "-isystem", _HERE / "bsp"]
    command += [*sorted(folder.glob("*.c")), _HERE / "arm/bridge.c", _HERE / "arm/start.S"]
    command += [f"-Wl,-Ttext={core.text:#x},-e,_start,--build-id=none,-z,max-page-size=4096"]
    done = subprocess.run(
        [str(word) for word in [*command, "-lgcc", "-o", out]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


class Machine:
    """One run of a program, to the end of its main.

    Attributes:
        printed: what it wrote.
        accesses: registers it read or wrote.
    """

    def __init__(self, core: Core, board: fake_board.FakeBoard) -> None:
        self._core, self._board = core, board
        self.printed, self.accesses = "", 0
        # What the DMA sees, and what the cache last had in common with it.
        self._base = core.text & ~0xFFFFFF
        self._memory = np.full(MEMORY, 0x5A, np.uint8)
        self._shared = np.zeros(MEMORY, np.uint8)
        board._library.board_map(
            board._handle,
            ctypes.c_uint32(self._base),
            ctypes.c_void_p(self._memory.ctypes.data),
            ctypes.c_uint32(MEMORY),
        )

    def run(self, program: Path, weights: Path | None = None) -> int:
        """What main returns.

        Args:
            weights: file that lies in the memory.
        """
        command = [*self._core.qemu, "-m", "128", "-display", "none", "-monitor", "none"]
        command += ["-nic", "none"]
        command += ["-serial", "stdio", "-kernel", str(program)]
        if weights is not None:
            place = f"loader,file={weights},addr={self._core.weights:#x},force-raw=on"
            command += ["-device", place]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as process:
            self._process = process
            try:
                while True:
                    operation = self._read(1)
                    if operation == b"E":
                        return self._read(1)[0]
                    self._serve(operation)
            finally:
                process.kill()

    def _serve(self, operation: bytes) -> None:
        if operation == b"P":
            self.printed += self._read(1).decode("ascii")
        elif operation == b"R":
            self._write(struct.pack("<I", self._register(self._word())))
        elif operation == b"W":
            address, value = self._word(), self._word()
            self._register(address, value)
        elif operation in (b"F", b"I"):
            start, size = self._word() - self._base, self._word()
            assert start >= 0 and start + size <= MEMORY and start % LINE == size % LINE == 0
            place = slice(start, start + size)
            if operation == b"F":
                mine = np.frombuffer(self._read(size), np.uint8).reshape(-1, LINE)
                dirty = (mine != self._shared[place].reshape(-1, LINE)).any(axis=1)
                self._memory[place].reshape(-1, LINE)[dirty] = mine[dirty]
            self._shared[place] = self._memory[place]
            self._write(self._memory[place].tobytes())
        else:
            raise AssertionError(f"{operation!r} after {self.printed!r}")

    def _register(self, address: int, value: int | None = None) -> int:
        """Read it, or write a value."""
        board, library = self._board, self._board._library
        self.accesses += 1
        board.settings()
        if SHELL <= address < SHELL + RANGE:
            if value is None:
                return board.read(address - SHELL)
            board.write(address - SHELL, value)
            return 0
        assert DMA <= address < DMA + RANGE, hex(address)
        library.board_run(board._handle, board.pace)
        if value is None:
            return int(library.board_dma_read(board._handle, address - DMA))
        library.board_dma_write(board._handle, address - DMA, ctypes.c_uint32(value))
        return 0

    def _word(self) -> int:
        return int(struct.unpack("<I", self._read(4))[0])

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        found = b""
        while len(found) < size:
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
            assert ready, f"the program hangs after {self.printed!r}"
            part = self._process.stdout.read(size - len(found))
            assert part, f"QEMU has ended after {self.printed!r}"
            found += part
        return found

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        while data:
            data = data[self._process.stdin.write(data) :]
