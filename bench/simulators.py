"""How fast can a quantized network be simulated bit for bit? Frames per second, side by side.

    python bench/simulators.py runs/NAME build/NAME-BOARD [RUN BUILD …]

On the same trained network and the same frames, taking turns: the official qonnx executor, the
Brevitas network in evaluation mode, one onnxruntime session on the float graph (the QONNX file in
standard float operators), qdeploy's integer graph in onnxruntime, and the whole RTL design in
Verilator. All must agree on every predicted class before timing starts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from float_graph import float_graph
from onnx import ModelProto, load
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from record import rates, rounded, row, save

from qdeploy.build_folder import CACHE_FOLDER, SIM_FOLDER
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.data.dataset import input_codes, network_input
from qdeploy.design.manifest import Design
from qdeploy.lowering.canonical.executor import with_batch
from qdeploy.sim.design import DesignSimulator, simulate_design
from qdeploy.tools import have_tool
from qdeploy.training.run import Run, load_run

QONNX, BREVITAS = "official qonnx executor", "Brevitas, evaluation mode"
FLOAT, INTEGER = "onnxruntime, float graph", "qdeploy integer graph"
RTL = "qdeploy RTL in Verilator"
RTL_FRAMES = 16

Array = npt.NDArray[np.generic]
Simulate = Callable[[int], Array]


class Contenders:
    """Every simulator of one network, each a function from a number of frames to logits."""

    def __init__(self, run: Run, build: Path, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        images = run.dataset(options.data).test_images[: options.batch]
        bits = run.recipe.quantization.input_bits
        self.codes = input_codes(images, bits).numpy()
        self.values = network_input(images, bits)
        self.network = run.network
        self.file = build / "model.qonnx.onnx"
        self.int_simulator = IntSimulator(build / "model.int.onnx", threads=options.threads)
        self.float_session = session(float_graph(self.file), options.threads)
        self.executors: dict[int, ModelWrapper] = {}
        self.rtl: DesignSimulator | None = None
        if have_tool("verilator"):
            folder = build / "rtl"
            cache = (options.cache or build.parent / CACHE_FOLDER) / SIM_FOLDER
            self.rtl = simulate_design(folder, Design.load(folder), cache, taps=False)

    def qonnx(self, count: int) -> Array:
        """The QONNX file in the official executor; the graph is prepared once per batch size."""
        if count not in self.executors:
            self.executors[count] = ModelWrapper(with_batch(load(self.file), count))
        model = self.executors[count]
        name = model.graph.input[0].name
        return execute_onnx(model, {name: self.values[:count].numpy()})[model.graph.output[0].name]

    def brevitas(self, count: int) -> Array:
        """The trained network as it is."""
        with torch.inference_mode():
            return self.network(self.values[:count]).numpy()

    def float_graph(self, count: int) -> Array:
        """The float graph in onnxruntime."""
        name = self.float_session.get_inputs()[0].name
        return self.float_session.run(None, {name: self.values[:count].numpy()})[0]

    def integers(self, count: int) -> Array:
        """The integer graph in onnxruntime."""
        (logits,) = self.int_simulator.run(self.codes[:count]).values()
        return logits

    def hardware(self, count: int) -> Array:
        """The stitched design, back-to-back frames without stalls."""
        return self.rtl.run(self.codes[:count]).outputs

    def all(self, batch: int) -> dict[str, Simulate]:
        """Name -> simulator, those that run here."""
        found: dict[str, Simulate] = {
            INTEGER: self.integers,
            QONNX: self.qonnx,
            BREVITAS: self.brevitas,
            FLOAT: self.float_graph,
        }
        if self.rtl is not None:
            found[RTL] = self.hardware
        return found


def session(model: ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """An onnxruntime session as the integer simulator makes its own, so that graphs compare."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def check(contenders: Contenders, batch: int) -> None:
    """All simulators predict the same classes on a batch, or the comparison means nothing.

    Raises:
        SystemExit: naming the simulator that differs.
    """
    count = min(batch, RTL_FRAMES)
    expected = classes(contenders.integers(count))
    for name, simulate in contenders.all(batch).items():
        found = classes(simulate(count))
        if not np.array_equal(found, expected):
            raise SystemExit(f"{name} predicts {found.tolist()}, expected {expected.tolist()}")


def classes(logits: Array) -> Array:
    """Predicted class of each frame."""
    return logits.reshape(len(logits), -1).argmax(axis=1)


def frames_of(simulator: str, batch: int) -> int:
    """Frames a call: the RTL gets fewer, its speed no longer depends on how many there are."""
    return min(batch, RTL_FRAMES) if simulator == RTL else batch


def measure(contenders: Contenders, batch: int, rounds: int, seconds: float) -> dict[str, float]:
    """Frames per second of each simulator with `batch` frames a call."""

    def turn(simulate: Simulate, count: int) -> int:
        simulate(count)
        return count

    turns = {
        name: partial(turn, simulate, frames_of(name, batch))
        for name, simulate in contenders.all(batch).items()
    }
    return rates(turns, rounds, seconds)


def compare(
    contenders: Contenders, name: str, batch: int, options: argparse.Namespace
) -> list[Any]:
    """Measure and print one network at one batch size; the rows for the results."""
    found = measure(contenders, batch, options.rounds, options.seconds)
    print(f"{name}, {batch} frame{'s' if batch > 1 else ''} a call")
    for simulator, rate in sorted(found.items(), key=lambda item: -item[1]):
        ratio = rounded(rate / found[QONNX])
        print(f"  {simulator:<28} {rate:>12,.1f} frames/s  {ratio:>8,g} x {QONNX}", flush=True)
    ours = [simulator for simulator in (INTEGER, RTL) if simulator in found]
    return [
        row(
            name,
            f"{simulator}, batch {frames_of(simulator, batch)}",
            found[simulator],
            "frames/s",
            peer,
            rate,
        )
        for simulator in ours
        for peer, rate in found.items()
        if peer not in ours
    ]


def main() -> None:
    """Measure, print, and write `results/simulators.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="RUN BUILD, per network")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("QDEPLOY_DATA") or None,
        help="folder of the data sets [$QDEPLOY_DATA]",
    )
    parser.add_argument("--cache", type=Path, help="for compiled models [.cache next to the build]")
    parser.add_argument(
        "--batch", type=int, default=128, help="frames per call, in addition to single frames"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each simulator")
    parser.add_argument("--seconds", type=float, default=0.5, help="least time of a turn")
    parser.add_argument("--threads", type=int, default=1, help="threads where they can be set")
    options = parser.parse_args()
    if len(options.folders) % 2:
        parser.error("give a run folder and its build folder for each network")

    rows = []
    for folder, build in zip(options.folders[::2], options.folders[1::2], strict=True):
        run = load_run(folder)
        contenders = Contenders(run, build, options)
        check(contenders, options.batch)
        for batch in (1, options.batch):
            rows += compare(contenders, run.name, batch, options)
    print(f"written: {save('simulators', rows)}")


if __name__ == "__main__":
    main()
