"""Run a built model: beats in, beats out, with stalls, watchdog and the AXI-Stream rules."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError, VerificationError
from qdeploy.sim.errors import DeadlockError, ProtocolError
from qdeploy.sim.spec import Port, SimSpec

Beats = npt.NDArray[np.uint8]
Cycles = npt.NDArray[np.int64]

# Cycles between two looks at the Python side, so that Ctrl-C is heard.
SLICE = 20_000
DONE, MORE, IDLE, FAULT = range(4)
INPUT, OUTPUT, TAP = range(3)


@dataclass(frozen=True)
class SimResult:
    """What a run gave; one entry per port, in the order of the spec.

    Args:
        outputs: (beats, bytes) of each output.
        lasts: TLAST of each beat of each output, None where the port has none.
        cycles: cycles until the last handshake of the run, reset not counted.
        output_cycles: the cycle in which each beat of each output was taken.
        input_cycles: the cycle in which each beat of each input was accepted.
        taps: (beats, bytes) of each tap.
        probe_max: the largest value of each probe, by port name.
        probe_final: the value of each probe at the end, by port name.
    """

    outputs: list[Beats]
    lasts: list[npt.NDArray[np.bool_] | None]
    cycles: int
    output_cycles: list[Cycles]
    input_cycles: list[Cycles]
    taps: list[Beats]
    probe_max: dict[str, int]
    probe_final: dict[str, int]


class Simulator:
    """A built model; each run starts from a fresh model and reset.

    Attributes:
        lib: the built library, for `run_parts`, which drives the parts of a model.
    """

    def __init__(self, library: Path, spec: SimSpec) -> None:
        self.library, self.spec = library, spec
        self.lib = _load(library)

    def run(
        self,
        inputs: Sequence[Beats],
        expected: Sequence[int],
        frames: int = 1,
        stall_in: float = 0.0,
        stall_out: float = 0.0,
        seed: int = 0,
        idle_limit: int = 20_000,
        max_cycles: int | None = None,
        drain: int = 32,
        pace: Sequence[Fraction] = (),
        controls: Mapping[str, int] | None = None,
        ends: Sequence[Sequence[int]] = (),
        order: Sequence[tuple[int, int, int, int]] = (),
    ) -> SimResult:
        """Send all inputs and take all expected outputs.

        The run is over when every input beat was accepted and every output gave what is expected,
        `drain` cycles later: beats still under way come out, and a port that gives too many shows.

        Args:
            inputs: (beats, bytes) for each input port; an input with TLAST has it on the last beat.
            expected: beats each output gives.
            frames: how often the inputs are sent, back to back; `expected` is for one of them.
            stall_in: chance, each cycle, that an input holds its next beat back, 0 <= p < 1.
            stall_out: chance, each cycle, that an output is not ready, 0 <= p < 1.
            seed: of the stalls.
            idle_limit: cycles without a handshake on any port or tap that count as a deadlock.
            max_cycles: most cycles to run; without end when None.
            pace: cycles per beat of each input: beat i is not offered before cycle i·pace, counted
                from the first cycle after reset; exact, however long the run. As fast as the model
                takes them when empty.
            controls: value of every control input of the spec.
            ends: for each input with TLAST the beats of its packets, in their order; one of all its
                beats when empty.
            order: (input, beat, other input, count): the beat, and those after it, are not offered
                before the other input sent `count` beats.

        Raises:
            DeadlockError: idle for too long, or `max_cycles` passed.
            ProtocolError: an output or tap broke a rule of AXI-Stream, or gave too many beats.
            VerificationError: the model stopped by itself ($fatal, a missing memory file).
        """
        self._check(inputs, expected, frames, stall_in, stall_out)
        settings = self._settings(pace, controls or {})
        lib = self.lib
        handle = lib.qd_new(str(Path(self.spec.folder).absolute()).encode(), 0)
        if not handle:
            raise VerificationError(
                f"the model of `{self.spec.top}` does not start",
                where=str(self.spec.folder),
                why=lib.qd_failure().decode(errors="replace"),
            )
        try:
            for index, beats in enumerate(inputs):
                data = np.ascontiguousarray(beats, dtype=np.uint8)
                lib.qd_set_input(handle, index, data.ctypes.data, len(data), frames)
            for index, one in enumerate(pace):
                lib.qd_pace(handle, index, one.numerator, one.denominator)
            for index, packets in enumerate(ends):
                for beats_of_one in packets:
                    lib.qd_packet(handle, index, beats_of_one)
            for one_after in order:
                lib.qd_after(handle, *one_after)
            for index, value in enumerate(settings):
                lib.qd_set_control(handle, index, value)
            for index, count in enumerate(expected):
                lib.qd_expect(handle, index, count * frames)
            lib.qd_start(handle, seed, stall_in, stall_out, idle_limit, drain)
            self._loop(handle, max_cycles)
            return self._result(handle)
        finally:
            lib.qd_delete(handle)

    def _loop(self, handle: int, max_cycles: int | None) -> None:
        lib, status = self.lib, MORE
        while status == MORE:
            step = SLICE
            if max_cycles is not None:
                step = min(step, max_cycles - lib.qd_cycle(handle))
                if step <= 0:
                    raise DeadlockError(
                        f"`{self.spec.top}` is not done after {max_cycles} cycles",
                        where=self._progress(handle),
                    )
            status = lib.qd_run(handle, step)
        cycle = lib.qd_cycle(handle)
        if status == IDLE:
            raise DeadlockError(
                f"`{self.spec.top}` is deadlocked in cycle {cycle}",
                where=self._progress(handle),
                why="no port shook hands for longer than the idle limit",
                do="a full FIFO before an empty one names the layer; deepen the FIFO or see why "
                "that layer waits",
            )
        if status == FAULT:
            fault = self._named(lib.qd_fault(handle).decode(errors="replace"))
            raise ProtocolError(
                f"`{self.spec.top}`, cycle {cycle - 1}: {fault}", where=self._progress(handle)
            )

    def _named(self, fault: str) -> str:
        """The driver's `output 0 took …` with the port's name in place of its number."""
        kind, number, *rest = fault.split(" ", 2)
        ports = {"output": self.spec.outputs, "tap": self.spec.taps}.get(kind)
        if ports is None or not rest:
            return fault
        return f"{kind} `{ports[int(number)].prefix}` {rest[0]}"

    def _progress(self, handle: int) -> str:
        """How far every port came and how full every FIFO is."""
        parts = []
        for kind, name, ports in self._ports():
            for index, port in enumerate(ports):
                count = self.lib.qd_seen(handle, kind, index)
                parts.append(f"{name} {port.prefix}: {count} beats")
        for index, (probe, _) in enumerate(self.spec.probes):
            now, top = (self.lib.qd_probe(handle, index, want) for want in (0, 1))
            parts.append(f"{probe}: {now} (at most {top})")
        return "; ".join(parts)

    def _ports(self) -> list[tuple[int, str, Sequence[Port]]]:
        spec = self.spec
        return [
            (INPUT, "input", spec.inputs),
            (OUTPUT, "output", spec.outputs),
            (TAP, "tap", spec.taps),
        ]

    def _result(self, handle: int) -> SimResult:
        lib, spec = self.lib, self.spec

        def cycles(kind: int, index: int) -> Cycles:
            count = lib.qd_seen(handle, kind, index)
            return copied(lib.qd_cycles(handle, kind, index), 8 * count).view(np.int64)

        def beats(kind: int, index: int, port: Port) -> Beats:
            count = lib.qd_seen(handle, kind, index)
            return copied(lib.qd_beats(handle, kind, index), count * port.bytes).reshape(
                count, port.bytes
            )

        def lasts(index: int, port: Port) -> npt.NDArray[np.bool_] | None:
            if not port.last:
                return None
            return copied(lib.qd_lasts(handle, index), lib.qd_seen(handle, OUTPUT, index)) != 0

        return SimResult(
            outputs=[beats(OUTPUT, i, port) for i, port in enumerate(spec.outputs)],
            lasts=[lasts(i, port) for i, port in enumerate(spec.outputs)],
            cycles=lib.qd_end_cycle(handle),
            output_cycles=[cycles(OUTPUT, i) for i in range(len(spec.outputs))],
            input_cycles=[cycles(INPUT, i) for i in range(len(spec.inputs))],
            taps=[beats(TAP, i, port) for i, port in enumerate(spec.taps)],
            probe_max={n: lib.qd_probe(handle, i, 1) for i, (n, _) in enumerate(spec.probes)},
            probe_final={n: lib.qd_probe(handle, i, 0) for i, (n, _) in enumerate(spec.probes)},
        )

    def _check(
        self,
        inputs: Sequence[Beats],
        expected: Sequence[int],
        frames: int,
        stall_in: float,
        stall_out: float,
    ) -> None:
        spec = self.spec
        if len(inputs) != len(spec.inputs) or len(expected) != len(spec.outputs):
            raise InternalError(
                f"`{spec.top}` has {len(spec.inputs)} inputs and {len(spec.outputs)} outputs, the "
                f"run gives {len(inputs)} and {len(expected)}"
            )
        for beats, port in zip(inputs, spec.inputs, strict=True):
            if beats.ndim != 2 or beats.shape[1] != port.bytes or beats.dtype != np.uint8:
                raise InternalError(
                    f"input `{port.prefix}` takes uint8 (beats, {port.bytes}), "
                    f"not {beats.dtype} {beats.shape}"
                )
            if port.bits % 8 and len(beats) and int(beats[:, -1].max()) >> (port.bits % 8):
                raise InternalError(f"a beat for `{port.prefix}` has more than {port.bits} bits")
        if frames < 1 or not 0 <= stall_in < 1 or not 0 <= stall_out < 1:
            raise InternalError(
                f"frames {frames}, stalls {stall_in} and {stall_out}: frames are at least 1, "
                "stalls from 0 to below 1"
            )

    def _settings(self, pace: Sequence[Fraction], controls: Mapping[str, int]) -> list[int]:
        spec = self.spec
        if len(pace) not in (0, len(spec.inputs)) or any(one < 0 for one in pace):
            raise InternalError(f"`{spec.top}` has {len(spec.inputs)} inputs, paces: {list(pace)}")
        if set(controls) != {name for name, _ in spec.controls}:
            raise InternalError(
                f"the control inputs of `{spec.top}` are {spec.controls}, not {sorted(controls)}"
            )
        for name, bits in spec.controls:
            if not 0 <= controls[name] < 1 << bits:
                raise InternalError(
                    f"control input `{name}` has {bits} bits, its value is {controls[name]}"
                )
        return [controls[name] for name, _ in spec.controls]


def copied(address: int | None, count: int) -> Beats:
    """Bytes at a C address, copied."""
    if not count or address is None:
        return np.zeros(0, dtype=np.uint8)
    return np.frombuffer(ctypes.string_at(address, count), dtype=np.uint8).copy()


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    pointer, i64, u64 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64
    i32, real, text = ctypes.c_int, ctypes.c_double, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "qd_new": (pointer, [text, i32]),
        "qd_failure": (text, []),
        "qd_delete": (None, [pointer]),
        "qd_set_input": (None, [pointer, i32, pointer, i64, i64]),
        "qd_expect": (None, [pointer, i32, i64]),
        "qd_pace": (None, [pointer, i32, i64, i64]),
        "qd_packet": (None, [pointer, i32, i64]),
        "qd_after": (None, [pointer, i32, i64, i32, i64]),
        "qd_burst": (None, [pointer, i64]),
        "qd_hold": (None, [pointer, i32, i64]),
        "qd_stream": (None, [pointer, i32, i32, i64]),
        "qd_output_fault": (text, [pointer, i32]),
        "qd_set_control": (None, [pointer, i32, u64]),
        "qd_start": (None, [pointer, u64, real, real, i64, i64]),
        "qd_run": (i32, [pointer, i64]),
        "qd_fault": (text, [pointer]),
        "qd_cycle": (i64, [pointer]),
        "qd_end_cycle": (i64, [pointer]),
        "qd_seen": (i64, [pointer, i32, i32]),
        "qd_cycles": (pointer, [pointer, i32, i32]),
        "qd_beats": (pointer, [pointer, i32, i32]),
        "qd_lasts": (pointer, [pointer, i32]),
        "qd_probe": (u64, [pointer, i32, i32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
