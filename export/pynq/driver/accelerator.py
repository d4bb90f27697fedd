"""The accelerator on the board.

    from driver import Accelerator
    with Accelerator() as accelerator:
        classes = accelerator.classify(images)      # images: (N, C, H, W) uint8

One DMA transfer in each direction carries many frames. The shell around the core is told how many
and marks only the last one's end, which is where a simple-mode DMA stops. A batch of several
transfers is packed and unpacked while the FPGA works (`pipeline.py`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from . import bundle as bundles
from . import preparation as preparations
from . import rates, selftest
from .board import Board
from .errors import AcceleratorError
from .head import Head, Part
from .layout import Layout
from .pipeline import Pipeline
from .weights import Weights
from .weights import read as read_weights
from .worker import Job, Worker

# Frames, and bytes in either direction, of a transfer where nothing else is asked for.
USUAL_FRAMES = 1024
USUAL_BYTES = 1 << 21
# A batch becomes so many transfers, that packing, moving and unpacking overlap, where each has …
OVERLAPPED = 8
# … so many bytes: below, starting a transfer takes longer than what overlaps.
LEAST_BYTES = 1 << 16

_current: weakref.ref[Accelerator] | None = None


class Accelerator:
    """Loads the bitstream and runs batches on it. The FPGA is this process's alone until `close`.

    Args:
        bitfile: the .bit file, its .hwh beside it; the package's own when None.
        max_batch: frames in one DMA transfer at most; more are cut into several transfers. When
            None 1024, or as many as 2 MiB hold.
        download: False leaves the FPGA as it is (another process loaded the same bitstream, and
            has ended since).
        timeout_s: seconds one transfer may take before it counts as stuck; twice what the design
            should take, where that is longer.

    Raises:
        BundleError: the package is incomplete.
        AcceleratorError: no bitstream, one that was not built from this package, or another process
            uses the FPGA.
    """

    def __init__(
        self,
        bitfile: str | None = None,
        max_batch: int | None = None,
        download: bool = True,
        timeout_s: float = 10.0,
    ) -> None:
        global _current
        self.root = Path(__file__).resolve().parent.parent
        self.bundle: dict[str, Any] = bundles.load(self.root)
        self.layout = Layout(self.bundle, preparations.load(self.root, self.bundle))
        self._head = _head(self.bundle["output"])
        self._classes: list[str] = self.bundle["classes"]
        #: What `load_weights` loaded; None for the package's own.
        self.weights: Weights | None = None
        if max_batch is not None and max_batch < 1:
            raise ValueError("max_batch must be at least 1")
        previous = _current() if _current is not None else None
        if previous is not None:
            previous.close()
        path = Path(bitfile) if bitfile else self.root / self.bundle["bitfile"]
        self._board = Board(self.bundle, path, download)
        self.clock_mhz = self._board.clock_mhz
        cycles = self.bundle["cycles_per_frame"]
        self._pipeline = Pipeline(self.layout, self._board, cycles, timeout_s)
        self._one_at_a_time = threading.Lock()
        self._worker: list[Worker] = []
        # Also when the object is forgotten or Python ends: the DMA must not write to freed memory.
        self._shut = weakref.finalize(
            self, _shut, self._worker, self._one_at_a_time, self._board, self._pipeline
        )
        self._frame_bytes = max(self.layout.in_frame_bytes, self.layout.out_frame_bytes)
        fits = self._board.largest // self._frame_bytes
        if not fits:
            self.close()
            raise AcceleratorError(
                f"a frame has {self._frame_bytes:,} bytes, the DMA of this bitstream moves at most"
                f" {self._board.largest:,}; build it with the package's vivado/build.tcl"
            )
        usual = min(USUAL_FRAMES, max(1, USUAL_BYTES // self._frame_bytes))
        self.max_batch = min(fits, usual if max_batch is None else max_batch)
        self.last: dict[str, float] = {}
        _current = weakref.ref(self)

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
        return self._meaning(self.infer_codes(batch, from_float))

    def infer_codes(
        self, batch: np.ndarray, from_float: bool = False, transfer: int | None = None
    ) -> np.ndarray:
        """Raw frames -> integers as they leave the hardware, int64: (N, elements), or
        (N, H', W', channels) from a network that decides for every pixel.

        Args:
            transfer: frames in each DMA transfer, instead of as many as seem best.

        Raises:
            TypeError, ValueError: the batch is not what the network takes; see `Layout.check`.
            AcceleratorError: the board failed. The next call starts clean.
        """
        pieces = self._pieces(self.layout.check(batch, from_float), transfer)
        with self._exclusive():
            started = time.perf_counter()
            self._pipeline.clear()
            parts = list(self._pipeline.run(iter(pieces)))
            seconds = self._pipeline.seconds
            self.last = {
                "frames": sum(len(piece) for piece in pieces),
                "seconds": time.perf_counter() - started,
                "pack_seconds": seconds["pack"],
                "transfer_seconds": seconds["move"],
                "unpack_seconds": seconds["unpack"],
                "cycles": self._pipeline.cycles,
            }
        return self._joined(parts)

    def submit(
        self,
        batch: np.ndarray,
        from_float: bool = False,
        then: Callable[[np.ndarray], Any] | None = None,
    ) -> Future[Any]:
        """`infer` without waiting: the result is the returned future's.

        Batches are worked off in their order by a thread, packing and unpacking beside the
        transfers of their neighbours. The batch must not change before its result is there.

        Args:
            then: computes the result from the integers of `infer_codes`, in the thread; that of
                `infer` when None.

        Raises:
            As `infer_codes`; failures of the board are raised by the future's `result`.
        """
        self._board.check_open()
        pieces = self._pieces(self.layout.check(batch, from_float), None)
        meaning = then or self._meaning
        job = Job(pieces, lambda parts: meaning(self._joined(parts)))
        if not pieces:
            job.end()
            return job.future
        if not self._worker:
            self._worker.append(Worker(self._pipeline.run, self._one_at_a_time))
        self._worker[0].submit(job)
        return job.future

    def classify(self, batch: np.ndarray, from_float: bool = False) -> np.ndarray:
        """Raw frames -> class numbers, int64: (N,), or (N, H', W') from a network that decides for
        every pixel. Exact logits are compared; the lowest number wins a tie. From a network with
        several outputs, one number for each: (N, outputs), or (N, H', W', outputs)."""
        return self.classes(self.infer_codes(batch, from_float))

    def classes(self, values: np.ndarray) -> np.ndarray:
        """Class numbers of the hardware's integers: `submit(batch, then=accelerator.classes)`."""
        if self.bundle["output"]["kind"] == "class":
            return values[..., 0]
        return self._head.classes(values, axis=values.ndim - 1)

    def outputs(self, logits: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of each output by its name, for a network with several."""
        if not self._head.parts:
            return {}
        slices = self._head.slices()
        return {part.name: logits[..., slices[n]] for n, part in enumerate(self._head.parts)}

    def names(self, classes: np.ndarray) -> list[Any]:
        """Names of class numbers; nested lists for maps of them."""
        named: list[Any] = np.asarray(self._classes)[classes].tolist()
        return named

    # ---- checks ------------------------------------------------------------------------------

    def selftest(self) -> dict[str, Any]:
        """Run the package's golden frames and compare every integer.

        The driver's packing is compared with the packed frames of the package, then the results
        of one batch, of every frame alone, and of a batch longer than one transfer, with the golden
        integers. The long batch has one frame more than a full transfer, golden frames over and
        over; where that would take over `selftest.LONG_SECONDS`, it is all golden frames in
        transfers of half of them.

        Returns:
            `{"passed", "frames", "codes", "packing_mismatches", "batch_mismatches",
            "single_mismatches", "long_batch_mismatches", "long_batch_frames", "first"}`; `first`
            says where the first difference is.
        """
        return selftest.run(self)

    def throughput(self, frames: int = 4096, repeat: int = 5) -> dict[str, Any]:
        """Measure frames per second on random frames; the best of `repeat` runs.

        Returns:
            `fps` from frames to integers, as a program sees it, and of its three parts each alone:
            `fps_hardware` from the cycles the shell counted at the board's clock, `fps_transfer`
            from the start of a DMA transfer to its end, `fps_packing` of packing and unpacking.
            The whole is no faster than the slowest of them, `limited_by`. `packing` says by what it
            is done.

        Raises:
            ValueError: no frames, or no runs.
        """
        return rates.measure(self, frames, repeat)

    # ---- weights -----------------------------------------------------------------------------

    def load_weights(self, file: str | Path) -> dict[str, Any]:
        """Load the weights of another network of the same shape, between batches.

        Batches under way are finished first. Results, classes and the self-test are then those of
        that network, until other weights are loaded, or the bitstream.

        Args:
            file: made by `qdeploy weights` from the build of this package.

        Returns:
            What the file says of its network.

        Raises:
            WeightsError: the file is damaged, or of another design; nothing was changed.
            AcceleratorError: the board failed, or the checksum read back differs: no batch begins
                until weights are loaded whole.
        """
        found = read_weights(Path(file), self.bundle)
        with self._exclusive():
            self._board.load_weights(found.image, found.record["crc32"])
            self.weights, self._head = found, _head(found.record["output"])
            self._classes = found.record["classes"] or self.bundle["classes"]
        return found.record

    # ---- the board ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset DMA and core, and forget a batch that is under way."""
        with self._exclusive():
            self._board.recover()

    def close(self) -> None:
        """Finish what moves, give the DMA buffers back, and the FPGA to other processes."""
        self._shut()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self._worker and self._worker[0].is_current():
            raise AcceleratorError("a future's callback cannot use the accelerator; use submit")
        with self._one_at_a_time:
            self._board.check_open()
            yield

    def _pieces(self, batch: np.ndarray, transfer: int | None) -> list[np.ndarray]:
        """A checked batch in transfers, of about the same size."""
        if not len(batch):
            return []
        size = self.max_batch
        if transfer is not None:
            size = max(1, min(size, transfer))
        else:
            least = max(1, LEAST_BYTES // self._frame_bytes)
            size = min(size, max(least, -(-len(batch) // OVERLAPPED)))
            size = -(-len(batch) // -(-len(batch) // size))
        return [batch[first : first + size] for first in range(0, len(batch), size)]

    def _joined(self, parts: list[np.ndarray]) -> np.ndarray:
        if not parts:
            return np.zeros((0, *self.layout.out_shape), dtype=np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _meaning(self, values: np.ndarray) -> np.ndarray:
        if self.bundle["output"]["kind"] == "class":
            return values[..., 0]
        return self._head.values(values, axis=values.ndim - 1)


def _head(output: dict[str, Any]) -> Head:
    return Head(
        tuple(Fraction(value) for value in output["gain"]),
        tuple(Fraction(value) for value in output["offset"]),
        tuple(Part(part["name"], part["channels"]) for part in output["parts"]),
    )


def _shut(workers: list[Worker], lock: threading.Lock, board: Board, pipeline: Pipeline) -> None:
    for worker in workers:
        worker.close()
    if any(worker.is_current() for worker in workers):
        _free(board, pipeline)  # a callback closes: nothing moves, and the thread has the lock
        return
    with lock:
        _free(board, pipeline)


def _free(board: Board, pipeline: Pipeline) -> None:
    if board.close():
        pipeline.buffers.free()
