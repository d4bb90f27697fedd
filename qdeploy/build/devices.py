"""What runs a build's network: integers in onnxruntime, its design in Verilator, its C sources.

Each takes codes of the integer graph's input and gives the integers of its output.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdeploy.build.options import Options
from qdeploy.build_folder import C_FOLDER, INT_FILE, RTL_FOLDER, SIM_FOLDER, has_design
from qdeploy.design.manifest import Design
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.scratch import scratch_folder
from qdeploy.sim.design import simulate_design
from qdeploy.supervised import in_parallel
from qdeploy.tools import find_tool
from qdeploy.verify.native_c import compile_native, program_in, run_native

# Frames of a step: large enough for onnxruntime, small enough for a bar that moves.
CHUNK = 128
# The same of a program in C.
C_CHUNK = 32


@dataclass(frozen=True)
class DeviceRun:
    """Integers (N, ...) that came out, seconds, and cycles per frame where there is a clock."""

    output: IntArray
    seconds: float
    cycles_per_frame: int | None = None


class IntDevice:
    """The integer network in onnxruntime.

    Args:
        threads: passes of frames at one time.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, folder: Path, graph: IntegerGraph, threads: int = 1) -> None:
        from qdeploy.codegen.onnx.session import IntSimulator

        self._session = IntSimulator(folder / INT_FILE)
        self._output, self._threads = graph.output, threads

    def run(self, codes: IntArray, observer: Observer = SILENT) -> DeviceRun:
        """Frames (N, *input shape)."""
        began, parts = time.perf_counter(), []

        def ran(first: int) -> IntArray:
            return self._session.run(codes[first : first + CHUNK])[self._output]

        with (
            observer.meter("integer network", len(codes), "frames") as bar,
            in_parallel(ran, range(0, len(codes), CHUNK), self._threads) as results,
        ):
            for part in results:
                parts.append(part)
                bar.advance(len(part))
        return DeviceRun(np.concatenate(parts), time.perf_counter() - began)


class RtlDevice:
    """The stitched design in Verilator.

    Raises:
        UserError: the build has no design.
        ToolMissingError: Verilator, g++ or make is not installed.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        if not has_design(folder):
            raise UserError(
                f"the build `{folder}` has no design to simulate",
                where=str(folder),
                do="simulate the integers, at level int",
            )
        rtl = folder / RTL_FOLDER
        cache = options.cache_of(folder) / SIM_FOLDER
        self._simulator = simulate_design(rtl, Design.load(rtl), cache, taps=True)

    def run(self, codes: IntArray, observer: Observer = SILENT) -> DeviceRun:
        """Frames (N, *input shape), back to back, as a board gets them."""
        with observer.meter("design in Verilator", None, "frames"):
            began = time.perf_counter()
            found = self._simulator.run(codes)
            seconds = time.perf_counter() - began
        return DeviceRun(found.outputs, seconds, found.cycles_per_frame)


class CDevice:
    """The C sources of a build, compiled for this machine.

    Args:
        threads: programs that run at one time.

    Raises:
        UserError: the build has no C sources.
        ToolMissingError: gcc is not installed.
    """

    def __init__(self, folder: Path, graph: IntegerGraph, threads: int = 1) -> None:
        if not (folder / C_FOLDER / "network.c").is_file():
            raise UserError(
                f"the build `{folder}` has no C sources to run",
                where=str(folder),
                do="export with `--target c`, or simulate the integers, at level int",
            )
        find_tool("gcc")
        self._sources, self._graph, self._threads = folder / C_FOLDER, graph, threads

    def run(self, codes: IntArray, observer: Observer = SILENT) -> DeviceRun:
        """Frames (N, *input shape).

        Raises:
            VerificationError: the sources do not compile, or fail when they run.
        """
        program, output = program_in(self._sources.parent, self._graph), (self._graph.output,)
        with scratch_folder("c") as scratch:
            binary = compile_native(program, self._sources, scratch, "network", taps=output)
            began, parts = time.perf_counter(), []

            def ran(first: int) -> IntArray:
                part = codes[first : first + C_CHUNK]
                found = run_native(program, binary, part, output, number=first)[output[0]]
                return found.astype(np.int64)

            starts = range(0, len(codes), C_CHUNK)
            with (
                observer.meter("network in C", len(codes), "frames") as bar,
                in_parallel(ran, starts, self._threads) as results,
            ):
                for part in results:
                    parts.append(part)
                    bar.advance(len(part))
            return DeviceRun(np.concatenate(parts), time.perf_counter() - began)
