"""Run a model's parts, each by itself on its own ports: one that fails does not end the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.errors import InternalError, VerificationError
from qdeploy.sim.simulator import DONE, INPUT, MORE, OUTPUT, SLICE, Beats, Cycles, Simulator, copied

DRAIN_CYCLES = 64


@dataclass(frozen=True)
class PartsResult:
    """What the parts gave; by the prefix of a port.

    Args:
        outputs: (beats, bytes) of each output, never more than expected.
        given: beats each output gave, those too many included.
        taken: beats each input took.
        handshakes: the cycle of each beat that a port gave or took, as far as it was expected.
        faults: of outputs that broke a rule of AXI-Stream or gave too much: the first.
        cycles: of the run, reset not counted.
        finished: whether every input was taken and every output gave what is expected.
    """

    outputs: dict[str, Beats]
    given: dict[str, int]
    taken: dict[str, int]
    handshakes: dict[str, Cycles]
    faults: dict[str, str]
    cycles: int
    finished: bool


def run_parts(
    simulator: Simulator,
    inputs: Mapping[str, Beats],
    expected: Mapping[str, int],
    *,
    stall: float,
    burst: int,
    hold: Mapping[str, int],
    seed: int,
    idle_limit: int,
    max_cycles: int,
    streams: Mapping[str, int] | None = None,
) -> PartsResult:
    """Send every part its beats and take what it gives, all at the same time.

    Args:
        simulator: of a model with parts, or of one whose inputs and outputs are those of parts.
        inputs: uint8 (beats, bytes) by input port; nothing is sent to a port left out.
        expected: beats by output port; none of a port left out.
        stall: chance, each cycle, that a port stalls while it is in a stalling phase.
        burst: mean cycles of a phase; stalling and free phases take turns, for each port by itself.
        hold: cycles that an output is not ready at the beginning, 0 for ports left out.
        seed: of the stalls.
        idle_limit: cycles without a handshake on any port after which the run ends.
        max_cycles: most cycles to run.
        streams: a number from 1 on for each port: with the same one, a port of another model
            stalls alike; by default ports have numbers in their order.

    Raises:
        VerificationError: the model stopped by itself ($fatal, a missing memory file).
        InternalError: there is no such port, or a beat has another width.
    """
    lib, spec = simulator.lib, simulator.spec
    ports_in = spec.part_inputs if spec.cut_clock else spec.inputs
    ports_out = spec.part_outputs if spec.cut_clock else spec.outputs
    if stray := {*inputs} - {p.prefix for p in ports_in} | {*expected, *hold} - {
        p.prefix for p in ports_out
    }:
        raise InternalError(f"`{spec.top}` has no part with the ports {sorted(stray)}")
    handle = lib.qd_new(str(Path(spec.folder).absolute()).encode(), 1)
    if not handle:
        raise VerificationError(
            f"the model of `{spec.top}` does not start",
            where=str(spec.folder),
            why=lib.qd_failure().decode(errors="replace"),
        )
    try:
        for index, port in enumerate(ports_in):
            beats = inputs.get(port.prefix)
            if beats is None:
                continue
            if beats.dtype != np.uint8 or beats.ndim != 2 or beats.shape[1] != port.bytes:
                raise InternalError(f"port `{port.prefix}` takes uint8 (beats, {port.bytes})")
            data = np.ascontiguousarray(beats)
            lib.qd_set_input(handle, index, data.ctypes.data, len(data), 1)
        lib.qd_burst(handle, burst)
        for index, port in enumerate(ports_out):
            lib.qd_expect(handle, index, expected.get(port.prefix, 0))
            lib.qd_hold(handle, index, hold.get(port.prefix, 0))
        for kind, ports in ((INPUT, ports_in), (OUTPUT, ports_out)):
            for index, port in enumerate(ports):
                if streams is not None:
                    lib.qd_stream(handle, kind, index, streams.get(port.prefix, 0))
        lib.qd_start(handle, seed, stall, stall, idle_limit, DRAIN_CYCLES)
        status = MORE
        while status == MORE and lib.qd_cycle(handle) < max_cycles:
            status = lib.qd_run(handle, min(SLICE, max_cycles - lib.qd_cycle(handle)))
        if failure := lib.qd_fault(handle).decode(errors="replace"):
            raise VerificationError(f"the model of `{spec.top}` stopped", why=failure)
        given = {p.prefix: int(lib.qd_seen(handle, OUTPUT, i)) for i, p in enumerate(ports_out)}
        outputs = {}
        for index, port in enumerate(ports_out):
            count = min(given[port.prefix], expected.get(port.prefix, 0))
            found = copied(lib.qd_beats(handle, OUTPUT, index), count * port.bytes)
            outputs[port.prefix] = found.reshape(count, port.bytes)
        handshakes = {
            port.prefix: copied(lib.qd_cycles(handle, kind, index), 8 * count).view(np.int64)
            for kind, ports in ((INPUT, ports_in), (OUTPUT, ports_out))
            for index, port in enumerate(ports)
            for count in [_counted(lib, handle, kind, index, expected.get(port.prefix))]
        }
        faults = {
            port.prefix: lib.qd_output_fault(handle, index).decode()
            for index, port in enumerate(ports_out)
        }
        return PartsResult(
            outputs,
            given,
            {p.prefix: int(lib.qd_seen(handle, INPUT, i)) for i, p in enumerate(ports_in)},
            handshakes,
            {name: fault for name, fault in faults.items() if fault},
            int(lib.qd_cycle(handle)),
            status == DONE,
        )
    finally:
        lib.qd_delete(handle)


def _counted(lib: Any, handle: Any, kind: int, index: int, expected: int | None) -> int:
    """Handshakes of a port whose cycles are kept."""
    seen = int(lib.qd_seen(handle, kind, index))
    return seen if kind == INPUT else min(seen, expected or 0)
