"""The accelerator on the board.

    from driver import Accelerator
    with Accelerator() as accelerator:
        classes = accelerator.classify(images)      # images: (N, C, H, W) uint8

One DMA transfer in each direction carries a whole batch. The shell around the core is told how many
frames the batch has and marks only the last one's end, which is where a simple-mode DMA stops.
"""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from . import bundle as bundles
from . import golden as goldens
from . import preparation as preparations
from .head import Head, Part
from .layout import Layout

# Registers of the shell, see rtl/qd_shell_regs.v.
ID, VERSION, DESIGN, FRAMES = 0x00, 0x04, 0x08, 0x0C
CONTROL, CYCLES, DONE, STATUS = 0x10, 0x14, 0x18, 0x1C
SHELL_ID = 0x51444550
SHELL_VERSION = 1
CORE_IN_RESET = 1

DMA_NAME, SHELL_NAME = "axi_dma_0", "qd_shell_0"
# The DMA's length register has 26 bits; see vivado/build.tcl.
DMA_MAX_BYTES = (1 << 26) - 1
DEFAULT_BATCH = 1024
CLOCK_TOLERANCE = 0.01


class AcceleratorError(RuntimeError):
    """The board does not do what the package says it should."""


# Seconds on the board that a self-test may spend on a batch of more than one full transfer: half of
# what the driver waits for a transfer.
LONG_SECONDS = 5.0


class Accelerator:
    """Loads the bitstream and runs batches on it.

    Args:
        bitfile: the .bit file, its .hwh beside it; the package's own when None.
        max_batch: frames in one DMA transfer at most; more are cut into several transfers.
        download: False leaves the FPGA as it is (another process loaded the same bitstream).
        timeout_s: seconds one transfer may take before it counts as stuck.

    Raises:
        BundleError: the package is incomplete.
        AcceleratorError: no bitstream, or one that was not built from this package.
    """

    def __init__(
        self,
        bitfile: str | None = None,
        max_batch: int = DEFAULT_BATCH,
        download: bool = True,
        timeout_s: float = 10.0,
    ) -> None:
        from pynq import Clocks, Overlay

        self.root = Path(__file__).resolve().parent.parent
        self.bundle: dict[str, Any] = bundles.load(self.root)
        self.layout = Layout(self.bundle, preparations.load(self.root, self.bundle))
        output = self.bundle["output"]
        self._head = Head(
            tuple(Fraction(value) for value in output["gain"]),
            tuple(Fraction(value) for value in output["offset"]),
            tuple(Part(part["name"], part["channels"]) for part in output["parts"]),
        )
        self.timeout_s = timeout_s
        self._buffers: list[Any] = []
        path = Path(bitfile) if bitfile else self.root / self.bundle["bitfile"]
        for needed in (path, path.with_suffix(".hwh")):
            if not needed.is_file():
                raise AcceleratorError(
                    f"there is no {needed}; build it with `make bitstream` where Vivado is"
                    " installed and copy the folder `bitstream` here"
                )
        self._overlay = Overlay(str(path), download=download)
        self._dma = getattr(self._overlay, DMA_NAME)
        self._shell = getattr(self._overlay, SHELL_NAME)
        # The clock comes from the bundle: loading alone may leave it at another rate.
        Clocks.fclk0_mhz = float(self.bundle["clock_mhz"])
        self.clock_mhz = float(Clocks.fclk0_mhz)
        if self.clock_mhz > self.bundle["clock_mhz"] * (1 + CLOCK_TOLERANCE):
            raise AcceleratorError(
                f"the board's clock is {self.clock_mhz:g} MHz, above the"
                f" {self.bundle['clock_mhz']:g} MHz the design was built for"
            )
        self._check_shell()
        self.max_batch = self._limit(max_batch)
        self._allocate()
        self.reset()
        self.last: dict[str, float] = {}

    # ---- results -----------------------------------------------------------------------------

    def infer(self, batch: np.ndarray, from_float: bool = False) -> np.ndarray:
        """Frames -> what the network puts out.

        Args:
            batch: (N, C, H, W) integers in the range that `bundle.json` names, or one frame
                (C, H, W).
            from_float: real numbers instead, as the network's file takes them; each becomes the
                code that the file gives it.

        Returns:
            Logits (N, classes) float64: gain * integer + offset, the network's own numbers; where
            the hardware itself takes the largest, classes (N,) int64. From a network that decides
            for every pixel (N, H', W', classes) and (N, H', W'). The channels of a network with
            several outputs are those of its outputs, one after the other; `outputs` parts them.
        """
        values = self.infer_codes(batch, from_float)
        if self.bundle["output"]["kind"] == "class":
            return values[..., 0]
        return self._head.values(values, axis=values.ndim - 1)

    def infer_codes(self, batch: np.ndarray, from_float: bool = False) -> np.ndarray:
        """Raw frames -> integers as they leave the hardware, int64: (N, elements), or
        (N, H', W', channels) from a network that decides for every pixel."""
        batch = self.layout.check(batch, from_float)
        started = time.perf_counter()
        parts = []
        moving, cycles = 0.0, 0
        for first in range(0, len(batch), self.max_batch):
            part = batch[first : first + self.max_batch]
            count = len(part)
            self.layout.to_beats(part, self._in_view[:count])
            seconds = self._transfer(count)
            moving += seconds
            cycles += self._shell.read(CYCLES)
            parts.append(self.layout.from_beats(np.asarray(self._out_view[:count])))
        self.last = {
            "frames": len(batch),
            "seconds": time.perf_counter() - started,
            "transfer_seconds": moving,
            "cycles": cycles,
        }
        if not parts:
            return np.zeros((0, *self.layout.out_shape), dtype=np.int64)
        return np.concatenate(parts)

    def classify(self, batch: np.ndarray, from_float: bool = False) -> np.ndarray:
        """Raw frames -> class numbers, int64: (N,), or (N, H', W') from a network that decides for
        every pixel. Exact logits are compared; the lowest number wins a tie. From a network with
        several outputs, one number for each: (N, outputs), or (N, H', W', outputs)."""
        values = self.infer_codes(batch, from_float)
        if self.bundle["output"]["kind"] == "class":
            return values[..., 0]
        return self._head.classes(values, axis=values.ndim - 1)

    def outputs(self, logits: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of each output by its name, for a network with several."""
        parts = zip(self._head.parts, self._head.slices(), strict=False)
        return {part.name: logits[..., where] for part, where in parts}

    def names(self, classes: np.ndarray) -> list[Any]:
        """Names of class numbers; nested lists for maps of them."""
        named: list[Any] = np.asarray(self.bundle["classes"])[classes].tolist()
        return named

    # ---- checks ------------------------------------------------------------------------------

    def selftest(self) -> dict[str, Any]:
        """Run the package's golden frames and compare every integer.

        The driver's packing is compared with the packed frames of the package, then the results
        of one batch, of every frame alone, and of a batch longer than one transfer, with the golden
        integers. The long batch has one frame more than a full transfer, golden frames over and
        over; where that would take over `LONG_SECONDS`, it is all golden frames in transfers of
        half of them.

        Returns:
            `{"passed", "frames", "codes", "packing_mismatches", "batch_mismatches",
            "single_mismatches", "long_batch_mismatches", "long_batch_frames", "first"}`; `first`
            says where the first difference is.
        """
        raw, packed, expected = goldens.load(self.root, self.bundle)
        count = len(raw)
        mine = np.zeros_like(packed)
        self.layout.to_beats(raw, mine)
        batch = self.infer_codes(raw)
        single = np.concatenate([self.infer_codes(frame) for frame in raw])
        expected = expected.reshape(batch.shape)
        many, limit = self._long_batch(count)
        order = np.arange(many) % count
        long = self._in_transfers_of(limit, raw[order])
        wrong = {
            "packing_mismatches": int((mine != packed).sum()),
            "batch_mismatches": int((batch != expected).sum()),
            "single_mismatches": int((single != expected).sum()),
            "long_batch_mismatches": int((long != expected[order]).sum()),
        }
        report: dict[str, Any] = {
            "passed": not any(wrong.values()),
            "frames": count,
            "codes": int(expected.size),
            **wrong,
            "long_batch_frames": many,
            "first": _first(batch, expected)
            or _first(single, expected)
            or _first(long, expected[order]),
        }
        return report

    def _long_batch(self, golden: int) -> tuple[int, int]:
        """Frames of a batch longer than one transfer, and frames in one transfer of it."""
        many = self.max_batch + 1
        if many * self.bundle["cycles_per_frame"] <= LONG_SECONDS * self.clock_mhz * 1e6:
            return many, self.max_batch
        return golden, max(1, min(self.max_batch, golden // 2))

    def _in_transfers_of(self, limit: int, batch: np.ndarray) -> np.ndarray:
        """`infer_codes` with at most `limit` frames in one transfer."""
        usual, self.max_batch = self.max_batch, limit
        try:
            return self.infer_codes(batch)
        finally:
            self.max_batch = usual

    def throughput(self, frames: int = 4096, repeat: int = 5) -> dict[str, float]:
        """Measure frames per second on random frames; the best of `repeat` runs.

        Returns:
            `fps` with packing and unpacking, `fps_transfer` from the start of a DMA transfer to its
            end, `fps_hardware` from the cycles the shell counted at the board's clock.
        """
        generator = np.random.default_rng(0)
        shape = (frames, *self.layout.data_shape)
        low, high = self.layout.raw_range
        batch = generator.integers(low, high + 1, size=shape, dtype=np.int32)
        runs = []
        for _ in range(repeat):
            self.infer_codes(batch)
            runs.append(dict(self.last))
        return {
            "frames": frames,
            "clock_mhz": self.clock_mhz,
            "fps": frames / min(run["seconds"] for run in runs),
            "fps_transfer": frames / min(run["transfer_seconds"] for run in runs),
            "fps_hardware": frames * self.clock_mhz * 1e6 / min(run["cycles"] for run in runs),
            "cycles_per_frame": min(run["cycles"] for run in runs) / frames,
        }

    # ---- the board ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset the core and forget a batch that is under way."""
        self._shell.write(CONTROL, 1)
        deadline = time.monotonic() + self.timeout_s
        while self._shell.read(STATUS) & CORE_IN_RESET:
            if time.monotonic() > deadline:
                raise AcceleratorError("the core does not leave reset; is its clock running?")

    def close(self) -> None:
        """Give the DMA buffers back."""
        for buffer in self._buffers:
            buffer.freebuffer()
        self._buffers = []

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_shell(self) -> None:
        found = self._shell.read(ID)
        if found != SHELL_ID:
            raise AcceleratorError(f"there is no qdeploy shell in this bitstream (id {found:#x})")
        version = self._shell.read(VERSION)
        if version != SHELL_VERSION:
            raise AcceleratorError(
                f"the bitstream's shell has version {version}, this driver knows {SHELL_VERSION};"
                " use the driver that came with the package"
            )
        design = self._shell.read(DESIGN)
        expected = int(self.bundle["design_id"], 16)
        if design != expected:
            raise AcceleratorError(
                f"the bitstream was built from another design ({design:08x}) than this package"
                f" ({expected:08x}); build it again with `make bitstream`"
            )

    def _limit(self, max_batch: int) -> int:
        if max_batch < 1:
            raise ValueError("max_batch must be at least 1")
        largest = max(self.layout.in_frame_bytes, self.layout.out_frame_bytes)
        return min(max_batch, DMA_MAX_BYTES // largest)

    def _allocate(self) -> None:
        from pynq import allocate

        self._in = allocate(shape=(self.max_batch * self.layout.in_frame_bytes,), dtype=np.uint8)
        self._out = allocate(shape=(self.max_batch * self.layout.out_frame_bytes,), dtype=np.uint8)
        self._buffers = [self._in, self._out]
        self._in_view = np.asarray(self._in).reshape(self.max_batch, -1)
        self._out_view = np.asarray(self._out).reshape(self.max_batch, -1)

    def _transfer(self, frames: int) -> float:
        """One batch through the hardware; seconds it took. The receiver is armed first."""
        send, receive = self._dma.sendchannel, self._dma.recvchannel
        self._shell.write(FRAMES, frames)
        started = time.perf_counter()
        receive.transfer(self._out, 0, frames * self.layout.out_frame_bytes)
        send.transfer(self._in, 0, frames * self.layout.in_frame_bytes)
        deadline = time.monotonic() + self.timeout_s
        for channel in (send, receive):
            while not channel.idle:
                if time.monotonic() > deadline:
                    self._stuck(frames)
            channel.wait()  # returns at once; brings the cache up to date and checks for errors
        return time.perf_counter() - started

    def _stuck(self, frames: int) -> None:
        status, done = self._shell.read(STATUS), self._shell.read(DONE)
        for channel in (self._dma.sendchannel, self._dma.recvchannel):
            channel.stop()
            channel.start()
        self.reset()
        raise AcceleratorError(
            f"a batch of {frames} frames did not come back within {self.timeout_s:g} s: {done} came"
            f" out, shell status {status:#x}; the core was reset, the next batch starts clean"
        )


def _first(found: np.ndarray, expected: np.ndarray) -> dict[str, int] | None:
    """Where two results differ first: frame, element in the stream's order, both values."""
    found, expected = (values.reshape(len(values), -1) for values in (found, expected))
    where = np.argwhere(found != expected)
    if not len(where):
        return None
    frame, element = (int(index) for index in where[0])
    return {
        "frame": frame,
        "element": element,
        "found": int(found[frame, element]),
        "expected": int(expected[frame, element]),
    }
