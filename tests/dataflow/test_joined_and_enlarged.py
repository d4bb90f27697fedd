"""Concatenations, repeated pixels, zeros between pixels and depth to space, from graph to RTL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from random_graphs import GraphMaker, small_decoder, small_densenet, small_unet

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.finn.nodes import hw_nodes
from qdeploy.devices.boards import load_board
from qdeploy.ir.file import write_graph
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph
from qdeploy.sim.design import simulate_design
from qdeploy.verify.compare import compare

Make = Callable[[int], GraphMaker]


def three_signs(seed: int = 0) -> GraphMaker:
    """Codes of three types in one, the input among them, twice each; sums that become codes."""
    maker = GraphMaker(seed, (2, 5, 4), bits=4)
    start = maker.mark()
    signed = maker.conv(3).threshold(bits=3, base=-4).mark()
    bit = maker.back_to(start).conv(4, (1, 1), pads=(0, 0, 0, 0)).threshold(bits=1).mark()
    maker.back_to(signed).concat(start, bit).upsample((3, 1)).threshold(bits=5)
    left = maker.conv(2, (1, 1), pads=(0, 0, 0, 0), weight_bits=4).mark()
    right = maker.back_to(maker.tensors[maker.nodes[-2].output]).conv(2, (3, 3)).mark()
    maker.back_to(left).concat(right).threshold(bits=4)
    return maker.global_sum().concat(maker.now).dense(3, weight_bits=4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("make", [small_unet, small_densenet, small_decoder, three_signs])
def test_every_engine_gives_the_same_integers(make: Make, tmp_path: Path) -> None:
    maker = make(1)
    graph, codes = maker.graph(), maker.frames(4)
    check_graph(graph)
    exact, names = run_reference(graph, codes), graph.boundaries()
    emit_onnx(graph, tmp_path / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        found = IntSimulator(tmp_path / "int.onnx", level=level).run(codes)
        assert compare(names, exact, found).first is None
    found = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    assert compare(names, exact, found).first is None


@pytest.mark.slow
@pytest.mark.parametrize("make", [small_unet, small_densenet, small_decoder, three_signs])
@pytest.mark.parametrize("fps", [5e3, 5e4, None])
def test_every_folding_gives_the_integers_in_rtl(
    make: Make, fps: float | None, models: Path, tmp_path: Path
) -> None:
    """With FIFOs as the skews of the branches say, which must not stop either."""
    maker = make(2)
    graph, codes = maker.graph(), maker.frames(4)
    exact = run_reference(graph, codes)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=fps)
    simulator = simulate_design(tmp_path / "rtl", compiled.design, models, optimize="-O0")
    for stall in (0.0, 0.4):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=1)
        found = run.taps | {graph.output: run.outputs}
        assert compare(graph.boundaries(), exact, found).first is None


def test_an_operator_that_finn_has_not_is_known_from_the_start(tmp_path: Path) -> None:
    """In a process that has not looked at any backend yet."""
    path = tmp_path / "graph.safetensors"
    write_graph(small_decoder(1).graph(), path)
    lines = (
        "import sys; from pathlib import Path",
        "from qdeploy.dataflow.finn.graph import to_finn; from qdeploy.ir.file import read_graph",
        "model = to_finn(read_graph(Path(sys.argv[1])))",
        "print([node.op_type for node in model.graph.node])",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "DepthToSpace" in done.stdout


def test_a_concatenation_takes_lanes_that_divide_every_stream_or_all_of_them() -> None:
    maker = GraphMaker(1, (2, 4, 4)).conv(6).threshold()
    maker.concat(maker.now, maker.tensors["x"])
    node = next(one for one in hw_nodes(hardware_layers(maker.graph())) if "concat" in one.name)
    assert node.instance.lane_choices() == [1, 2, 14]
    shapes = {}
    for lanes in (2, 14):
        node.instance.set_nodeattr("SIMD", lanes)
        streams = [node.input(index) for index in range(3)]
        shapes[lanes] = [(one.beats, one.per_beat) for one in (*streams, node.output())]
    assert shapes[2] == [(48, 2), (48, 2), (16, 2), (112, 2)]
    assert shapes[14] == [(16, 6), (16, 6), (16, 2), (16, 14)]


def test_a_stream_that_waits_for_a_deeper_branch_gets_a_fifo_as_deep(tmp_path: Path) -> None:
    maker = small_unet(3)
    compiled = compile_graph(maker.graph(), load_board("pynq-z2"), tmp_path / "rtl", fps=1e4)
    outer = next(one for one in hw_nodes(compiled.joined) if one.name.startswith("concat13"))
    sites = {site.stream: site.analytic for site in compiled.fifo_sites()}
    skip, deep = (sites[outer.stream_name(index)] for index in (1, 0))
    # The skip waits for two poolings, three convolutions and what repeats their pixels.
    assert skip > outer.input(1).beats > 2 * deep
