"""Transfers one after the other, with the processor's work on one beside the FPGA's on the next.

    processor   pack 0   pack 1   unpack 0, pack 2   unpack 1, pack 3   …
    FPGA                 move 0   move 1             move 2             …

The order in time: a transfer is packed while the one before it moves; that one is waited for, this
one begun, and then that one unpacked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from .board import Board
from .buffers import Buffers, Pair
from .layout import Layout


class Flight(NamedTuple):
    """A transfer that was begun."""

    pair: Pair
    frames: int
    started: float


class Pipeline:
    """Packing, transfers and unpacking of one accelerator.

    Args:
        cycles_per_frame: as the design has them; they say how long a transfer should take.
        timeout_s: seconds a transfer may take, or twice what it should where that is more.

    Attributes:
        seconds: spent on `pack`, `move` (from the start of a transfer to its end as seen here) and
            `unpack`, since `clear`.
        cycles: of the FPGA, since `clear`.
    """

    def __init__(
        self, layout: Layout, board: Board, cycles_per_frame: int, timeout_s: float
    ) -> None:
        self._layout, self._board = layout, board
        self._frame_s = cycles_per_frame / (board.clock_mhz * 1e6)
        self.timeout_s = timeout_s
        self.buffers = Buffers(layout.in_frame_bytes, layout.out_frame_bytes)
        self.clear()

    def clear(self) -> None:
        """Set the times to zero."""
        self.seconds = {"pack": 0.0, "move": 0.0, "unpack": 0.0}
        self.cycles = 0

    def run(self, pieces: Iterable[np.ndarray | None]) -> Iterator[np.ndarray]:
        """Results of checked batches, each of one transfer, in their order.

        Args:
            pieces: None means that there is nothing at present: finish what moves.

        Raises:
            AcceleratorError: see `Board`; also an interruption leaves the board clean.
        """
        flight: Flight | None = None
        turn = 0
        self._board.ready()
        try:
            for piece in pieces:
                if piece is None:
                    if flight is not None:
                        self._finish(flight)
                        done, flight = flight, None
                        yield self._unpack(done)
                    continue
                pair = self._pack(piece, turn)
                done = flight
                if done is not None:
                    self._finish(done)
                    flight = None
                flight = self._begin(pair, len(piece))
                turn = 1 - turn
                if done is not None:
                    yield self._unpack(done)
            if flight is not None:
                self._finish(flight)
                done, flight = flight, None
                yield self._unpack(done)
        finally:
            # Only where something was left in the air: an error, or a caller who wants no more.
            self._board.abort()

    def _pack(self, piece: np.ndarray, turn: int) -> Pair:
        self._board.check_open()
        started = time.perf_counter()
        pair = self.buffers.take(turn, len(piece))
        rows = self.buffers.rows(pair.source, len(piece), self._layout.in_frame_bytes)
        self._layout.to_beats(piece, rows)
        self.seconds["pack"] += time.perf_counter() - started
        return pair

    def _begin(self, pair: Pair, frames: int) -> Flight:
        started = time.perf_counter()
        self._board.begin(
            frames,
            pair.source,
            frames * self._layout.in_frame_bytes,
            pair.sink,
            frames * self._layout.out_frame_bytes,
        )
        return Flight(pair, frames, started)

    def _finish(self, flight: Flight) -> None:
        usual = flight.frames * self._frame_s
        passed = time.perf_counter() - flight.started
        self.cycles += self._board.finish(
            flight.frames,
            flight.pair.sink,
            flight.frames * self._layout.out_frame_bytes,
            max(0.0, usual - passed),
            max(self.timeout_s, 2 * usual),
        )
        self.seconds["move"] += time.perf_counter() - flight.started

    def _unpack(self, flight: Flight) -> np.ndarray:
        started = time.perf_counter()
        rows = self.buffers.rows(flight.pair.sink, flight.frames, self._layout.out_frame_bytes)
        values = self._layout.from_beats(rows)
        self.seconds["unpack"] += time.perf_counter() - started
        return values
