"""Coverage on the ladder: what each rung records of it."""

from __future__ import annotations

import pytest
from memory_designs import stitched
from random_graphs import small_convnet

from qdeploy.build_folder import INT_FILE, RTL_FOLDER
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.ir.reference import run_reference
from qdeploy.verify.coverage.counted import FrameCoverage
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import climb

FRAMES, RTL_FRAMES = 30, 4


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> LadderInputs:
    folder = tmp_path_factory.mktemp("build")
    _, graph = stitched("convnet", folder / RTL_FOLDER)
    maker = small_convnet()
    maker.graph()
    emit_onnx(graph, folder / INT_FILE)
    frames = maker.frames(FRAMES)
    return LadderInputs(folder, graph, None, frames, folder / "cache", rtl_frames=RTL_FRAMES)


def test_each_rung_has_the_coverage_of_what_it_compared(build: LadderInputs) -> None:
    integers, memories, layer, rtl = climb(build, rungs=("int", "memories", "layer", "rtl"))
    exact = FrameCoverage(build.graph, build.frames, run_reference(build.graph, build.frames))
    assert integers.coverage == exact.first(FRAMES).faults.shares()
    assert rtl.coverage == exact.first(RTL_FRAMES).faults.shares() | {"beats": 1.0}
    assert rtl.coverage["weights"] < integers.coverage["weights"] < 1
    assert memories.coverage == {
        "weights": 1.0,
        "thresholds": 1.0,
        "channels": 1.0,
        "windows": 1.0,
    }
    everything = {"weights", "thresholds", "channels", "windows", "beats"}
    assert layer.coverage == dict.fromkeys(everything, 1.0)
    account = layer.details["single_faults"]
    assert all(count["seen"] and not count["left"] for count in account.values())
    parts = [one["faults"] for one in layer.details["layers"] if "faults" in one]
    for kind, count in account.items():
        for key, value in count.items():
            assert value == sum(part[kind][key] for part in parts if kind in part)
    record = rtl.record()
    assert record["coverage"] == rtl.coverage
    counts = record["details"]["single_faults"]
    assert counts["frames"] == RTL_FRAMES
    weights = counts["weights"]
    visible = weights["total"] - weights["redundant"]
    assert round(weights["seen"] / visible, 6) == rtl.coverage["weights"]
