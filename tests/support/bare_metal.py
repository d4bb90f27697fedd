"""The driver in C of a package, compiled as it is shipped, on the board of `fake_board`."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import fake_board
import numpy as np

_HERE = Path(__file__).resolve().parent
WARNINGS = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wundef",
    "-Werror",
)
# Everything but the port for the BSP and the example of its use.
SOURCES = ("native.c", "qd_accelerator.c", "qd_design.c", "qd_dma.c", "qd_selftest.c")
# And in packages of designs whose weights are loaded.
LOADING = "qd_weights.c"
STATUS = (
    *("OK", "BUSY", "ARGUMENT", "ALIGNMENT", "ADDRESS", "NO_SHELL", "SHELL_VERSION"),
    *("OTHER_DESIGN", "DESCRIPTORS", "DMA_RESET", "DMA_START", "CORE_RESET", "SEND", "RECEIVE"),
    *("SEND_TIMEOUT", "RECEIVE_TIMEOUT", "LENGTH", "MISMATCH"),
    *("WEIGHTS_UNKNOWN", "WEIGHTS_FILE", "WEIGHTS_DESIGN", "WEIGHTS_REFUSED", "WEIGHTS_CRC"),
)
ADDRESS = 0x10000000


class Details(ctypes.Structure):
    """`qd_details`."""

    _fields_ = [
        *(
            (name, ctypes.c_uint32)
            for name in [
                "mm2s_status",
                "s2mm_status",
                "shell_status",
                "frames_done",
                "bytes",
                "cycles",
            ]
        ),
        ("recovered", ctypes.c_bool),
    ]


class Device(ctypes.Structure):
    """`qd_device`."""

    _fields_ = [
        ("dma", ctypes.c_size_t),
        ("shell", ctypes.c_size_t),
        ("timeout", ctypes.c_uint64),
        ("last", Details),
        ("weights_crc", ctypes.c_uint32),
        ("out", ctypes.c_void_p),
        ("frames", ctypes.c_uint32),
        ("started", ctypes.c_uint64),
        ("allowed", ctypes.c_uint64),
        ("clean", ctypes.c_bool),
        ("weights_known", ctypes.c_bool),
        ("golden", ctypes.c_void_p),
    ]


class Weights(ctypes.Structure):
    """`qd_weights`."""

    _fields_ = [
        ("crc", ctypes.c_uint32),
        ("image", ctypes.c_void_p),
        ("golden", ctypes.c_void_p),
    ]


class Report(ctypes.Structure):
    """`qd_report`."""

    _fields_ = [
        *(
            (name, ctypes.c_uint32)
            for name in [
                "packing_mismatches",
                "batch_mismatches",
                "single_mismatches",
                "frame",
                "element",
            ]
        ),
        ("found", ctypes.c_int64),
        ("expected", ctypes.c_int64),
    ]


def build_driver(folder: Path, model: Path, library: Path) -> Path:
    """The driver of a folder `bare_metal` as a library of this machine.

    Args:
        model: the Verilated board that it is linked with.
        library: what is written.
    """
    command = ["cc", *WARNINGS, "-O1", "-fPIC", "-shared", "-I", folder]
    command += [folder / name for name in (*SOURCES, LOADING) if (folder / name).exists()]
    command += [_HERE / "bare_metal_port.c", model, "-Wno-missing-prototypes", "-o", library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


class BareMetal:
    """The driver on a board, its memory as arrays.

    Args:
        board: of the model that the library is linked with.
        dma, shell: addresses of the registers, as the design header has them.
        address: where the DMA finds the memory.
    """

    def __init__(
        self,
        library: Path,
        board: fake_board.FakeBoard,
        dma: int = 0x50000000,
        shell: int = 0x50010000,
        address: int = ADDRESS,
    ) -> None:
        self.board, self.device = board, Device()
        # What the driver points into.
        self.files: list[Any] = []
        self._dma, self._shell, self._address = dma, shell, address
        self.code = ctypes.CDLL(str(library))
        self.code.test_attach.restype = ctypes.c_void_p
        self.code.qd_status_text.restype = self.code.qd_dma_error_name.restype = ctypes.c_char_p
        board._load("accelerator.bit", True)
        self.start = 0
        self.attach()

    def attach(self, address: int | None = None) -> None:
        """Memory of new content, at an address of the DMA."""
        found = self.code.test_attach(
            self.board._handle,
            100,
            ctypes.c_uint64(1000),
            ctypes.c_uint64(self._address if address is None else address),
        )
        self.start = int(found)

    def open(self, shell: int | None = None) -> str:
        """`qd_open`; time-outs of 0.2 s from then on."""
        status = self._call("qd_open", self._dma, self._shell if shell is None else shell)
        self.device.timeout = 200_000
        return status

    def _call(self, name: str, *given: int) -> str:
        self.board.settings()
        function = getattr(self.code, name)
        return STATUS[function(ctypes.byref(self.device), *map(ctypes.c_size_t, given))]

    def begin(self, frames: int, offset: int = 0) -> str:
        """`qd_begin`, buffers half of the memory apart."""
        return self._call("qd_begin", self.start + offset, self.start + (1 << 19), frames)

    def poll(self) -> str:
        """`qd_poll`."""
        return self._call("qd_poll")

    def recover(self) -> str:
        """`qd_recover`."""
        return self._call("qd_recover")

    def run(self, frames: int) -> str:
        """`qd_run`."""
        return self._call("qd_run", self.start, self.start + (1 << 19), frames)

    def selftest(self) -> tuple[str, Report]:
        """`qd_selftest`."""
        report = Report()
        status = self._call(
            "qd_selftest", self.start, self.start + (1 << 19), ctypes.addressof(report)
        )
        return status, report

    def read_weights(self, file: bytes, size: int | None = None) -> tuple[str, Weights]:
        """`qd_weights_read` of a file at an address of no alignment.

        Args:
            size: bytes that may be read; the file's when None.
        """
        found = Weights()
        kept = ctypes.create_string_buffer(b"\xee" + file + b"\xee")
        at = ctypes.addressof(kept) + 1
        self.files.append(kept)
        code = self.code.qd_weights_read(
            ctypes.c_void_p(at),
            ctypes.c_size_t(len(file) if size is None else size),
            ctypes.byref(found),
        )
        return STATUS[code], found

    def load(self, weights: Weights) -> str:
        """`qd_load_weights`."""
        return self._call("qd_load_weights", ctypes.addressof(weights))

    def memory(self, offset: int, size: int) -> np.ndarray[Any, Any]:
        """The processor's view of the memory."""
        made = (ctypes.c_uint8 * size).from_address(self.start + offset)
        return np.frombuffer(made, np.uint8)

    @property
    def last(self) -> Details:
        """What the hardware said at the end of the last batch."""
        found: Details = self.device.last
        return found
