"""The board with this package's bitstream: its DMA, its shell, and memory that both can reach.

Recovery, after a time-out, an error, or an interrupted batch: reset the DMA, then the core, then
the DMA again. The first reset ends what sends to the core, the second empties the core, and the
third drops the beats that the receiver had taken from it meanwhile. Nothing here waits without a
time-out.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from . import bitfile as bitfiles
from .device_lock import DeviceLock
from .dma import ADDRESS_BITS, Dma
from .errors import AcceleratorError
from .shell import ERROR, Shell

DMA_NAME, SHELL_NAME = "axi_dma_0", "qd_shell_0"
CLOCK_TOLERANCE = 0.01
# Bits of the DMA's length register as vivado/build.tcl sets it.
LENGTH_BITS = 26
# Seconds for a reset, of tens of clock cycles.
RESET_SECONDS = 1.0
# A transfer that should take longer than this many seconds is waited for in pauses.
SPIN_SECONDS = 0.002
PAUSE_SECONDS = 0.00005
# pynq gives smaller buffers addresses that the DMA cannot reach.
LEAST_BYTES = 8192


class Buffer:
    """Memory for one direction of a transfer.

    Attributes:
        view: its bytes, uint8.
    """

    def __init__(self, size: int) -> None:
        from pynq import allocate

        # Cached by the processor, which packs and unpacks in it: brought up to date by hand.
        self._memory = allocate(shape=(max(size, LEAST_BYTES),), dtype=np.uint8, cacheable=1)
        self.address = int(self._memory.physical_address)
        self.view = np.asarray(self._memory)
        if self.address + len(self.view) > 1 << ADDRESS_BITS:
            self.free()
            raise AcceleratorError(
                f"pynq allocated memory at {self.address:#x}, beyond the DMA's {ADDRESS_BITS} bits"
            )

    def to_device(self) -> None:
        """Before the DMA reads."""
        self._memory.flush()

    def from_device(self) -> None:
        """After the DMA wrote."""
        self._memory.invalidate()

    def free(self) -> None:
        """Give it back: nothing may use it afterwards, the DMA neither."""
        self.view = self.view[:0]
        self._memory.freebuffer()


class Board:
    """The FPGA, for this process alone until `close`.

    Args:
        bundle: of the package.
        bitfile: the .bit file.
        download: False leaves the FPGA as it is.

    Raises:
        AcceleratorError: another process has the FPGA; the bitstream is missing, damaged, of
            another part, design or maker; the clock is too fast; or the hardware does not answer.
    """

    def __init__(self, bundle: dict[str, Any], bitfile: Path, download: bool) -> None:
        bitfiles.check(bitfile, bundle)
        self._lock = DeviceLock()
        self._clean = False
        # Why no batch may begin: the weights in the FPGA are not known.
        self._unknown = ""
        self.closed = False
        try:
            self._open(bundle, bitfile, download)
        except BaseException:
            self.closed = True
            self._lock.release()
            raise

    def _open(self, bundle: dict[str, Any], bitfile: Path, download: bool) -> None:
        from pynq import MMIO, Clocks, Overlay

        self._overlay = Overlay(str(bitfile), download=download)
        blocks = self._overlay.ip_dict
        missing = [name for name in (DMA_NAME, SHELL_NAME) if name not in blocks]
        if missing:
            raise AcceleratorError(
                f"{bitfile} is not of a qdeploy package: it has no {' and no '.join(missing)};"
                " build it with `make bitstream`"
            )
        dma, shell = (
            MMIO(int(blocks[name]["phys_addr"]), int(blocks[name]["addr_range"]))
            for name in (DMA_NAME, SHELL_NAME)
        )
        self.largest = (1 << _length_bits(blocks[DMA_NAME])) - 1
        # The clock comes from the bundle: loading alone may leave it at another rate.
        Clocks.fclk0_mhz = float(bundle["clock_mhz"])
        self.clock_mhz = float(Clocks.fclk0_mhz)
        if self.clock_mhz > bundle["clock_mhz"] * (1 + CLOCK_TOLERANCE):
            raise AcceleratorError(
                f"the board's clock is {self.clock_mhz:g} MHz, above the"
                f" {bundle['clock_mhz']:g} MHz the design was built for"
            )
        self._shell, self._dma = Shell(shell), Dma(dma)
        self._shell.check(bundle["design_id"])
        if self._dma.has_scatter_gather():
            raise AcceleratorError(
                f"the DMA in {bitfile} was built with scatter-gather (SGIncld), which the driver"
                " does not use; build the bitstream with the package's vivado/build.tcl"
            )
        self.recover()
        if "weights" in bundle and self._shell.written() not in (None, bundle["weights"]["crc32"]):
            self._unknown = "another program loaded other weights, or left off while it did"

    # ---- weights -----------------------------------------------------------------------------

    def load_weights(self, image: bytes, checksum: int) -> None:
        """Write an image of weights, and read its checksum back.

        Raises:
            AcceleratorError: the core does not take it, or the checksum differs: no batch begins
                until weights are loaded whole.
        """
        self.check_open()
        if not self._clean:
            self.recover()
        self._unknown = "loading weights was interrupted"
        try:
            found = self._shell.load(image, RESET_SECONDS)
        except AcceleratorError as error:
            self._unknown = str(error)
            self._clean = False
            raise
        if found != checksum:
            self._unknown = f"their checksum is {found:08x} in the FPGA, not {checksum:08x}"
            raise AcceleratorError(f"the weights were not loaded right: {self._unknown}")
        self._unknown = ""

    # ---- transfers ---------------------------------------------------------------------------

    def begin(self, frames: int, source: Buffer, sent: int, sink: Buffer, expected: int) -> None:
        """Start a batch: `sent` bytes of `source` go in, `expected` bytes come out to `sink`."""
        self.ready()
        source.to_device()
        self._clean = False
        self._shell.begin(frames)
        # The receiver first: the core has nowhere else to put its results.
        self._dma.receive.start(sink.address, expected)
        self._dma.send.start(source.address, sent)

    def finish(
        self, frames: int, sink: Buffer, expected: int, usual_s: float, most_s: float
    ) -> int:
        """Wait for the batch that was begun; clock cycles it took.

        Args:
            usual_s: seconds that it should take.
            most_s: seconds after which it counts as stuck.

        Raises:
            AcceleratorError: an error of the DMA, a time-out, or results of another length; the
                next batch starts clean.
        """
        deadline = time.monotonic() + most_s
        try:
            if usual_s > SPIN_SECONDS:
                time.sleep(0.75 * usual_s)
            while not (self._dma.receive.idle() and self._dma.send.idle()):
                if time.monotonic() > deadline:
                    raise AcceleratorError(self._stuck(frames, most_s))
                if usual_s > SPIN_SECONDS:
                    time.sleep(PAUSE_SECONDS)
            moved = self._dma.receive.moved()
            if moved != expected or self._shell.status() & ERROR:
                raise AcceleratorError(
                    f"a batch of {frames} frames gave {moved:,} bytes instead of {expected:,},"
                    f" shell status {self._shell.status():#x}: the bitstream is not of this"
                    " package, or its timing is not met"
                )
            sink.from_device()
            cycles = self._shell.cycles()
        except BaseException as error:
            self._give_up(error)
            raise
        self._clean = True
        return cycles

    def ready(self) -> None:
        """Make sure that a batch can begin.

        Raises:
            AcceleratorError: the board is closed, its weights are not known, or it does not recover
                from what was before.
        """
        self.check_open()
        if self._unknown:
            raise AcceleratorError(
                f"the weights in the FPGA are not known: {self._unknown}; load_weights again, or"
                " load the bitstream with a new Accelerator()"
            )
        if not self._clean:
            self.recover()

    def abort(self) -> None:
        """Forget a batch that was begun and not finished, if there is one."""
        if not self._clean and not self.closed:
            self._try_to_recover()

    def recover(self) -> None:
        """Put DMA and core in the state before a batch, whatever they are doing.

        Raises:
            AcceleratorError: they do not answer.
        """
        self.check_open()
        self._clean = False
        self._dma.reset(RESET_SECONDS)
        self._shell.reset(RESET_SECONDS)
        self._dma.reset(RESET_SECONDS)
        self._dma.run(RESET_SECONDS)
        self._clean = True

    def close(self) -> bool:
        """Stop the DMA and give the FPGA back to other processes; False when the DMA may still be
        writing, and its buffers have to stay."""
        if self.closed:
            return True
        stopped = True
        try:
            self._dma.reset(RESET_SECONDS)
        except AcceleratorError:
            stopped = False
        self.closed = True
        self._lock.release()
        return stopped

    def check_open(self) -> None:
        """Raises:
        AcceleratorError: it is closed.
        """
        if self.closed:
            raise AcceleratorError("the accelerator is closed; make a new one: Accelerator()")

    def _stuck(self, frames: int, seconds: float) -> str:
        sent, received = self._dma.send.idle(), self._dma.receive.idle()
        if not sent:
            what = "the core did not take all of its input (MM2S waits)"
        else:
            what = "the core took its input and gave too few results (S2MM waits)"
        if received:
            what = "the results ended before all input was taken (MM2S waits)"
        return (
            f"a batch of {frames} frames did not come back within {seconds:g} s: {what},"
            f" {self._shell.done()} came out, shell status {self._shell.status():#x}"
        )

    def _give_up(self, error: BaseException) -> None:
        recovered = self._try_to_recover()
        if isinstance(error, AcceleratorError):
            then = (
                "DMA and core were reset, the next batch starts clean"
                if recovered
                else "and the reset did not help; load the bitstream again with a new Accelerator()"
            )
            error.args = (f"{error}; {then}",)

    def _try_to_recover(self) -> bool:
        try:
            self.recover()
        except AcceleratorError:
            return False  # the next batch tries again, and says so
        return True


def _length_bits(block: dict[str, Any]) -> int:
    """Bits of the DMA's length register, from the .hwh."""
    parameters = {str(key).lower(): value for key, value in block.get("parameters", {}).items()}
    try:
        return min(LENGTH_BITS, int(parameters["c_sg_length_width"]))
    except (KeyError, ValueError):
        return LENGTH_BITS
