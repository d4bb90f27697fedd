"""A hardware operator is its backend's business: nothing else in the package names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finn.custom_op.fpgadataflow import rtl
from finn.custom_op.fpgadataflow.duplicatestreams import DuplicateStreams
from onnx import helper
from random_graphs import GraphMaker

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.estimates import block_usage
from qdeploy.dataflow.finn import operators
from qdeploy.dataflow.finn.hw_layers import name_nodes
from qdeploy.dataflow.finn.nodes import RTL_DOMAIN, HwNode, hw_nodes
from qdeploy.dataflow.finn.operators import SUFFIX, LayerFrom, Operator
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.dataflow.stitching.stitch import stitch
from qdeploy.devices.boards import load_board
from qdeploy.errors import InternalError
from qdeploy.resources import resource

# Where qdeploy makes nodes itself, because FINN's passes do not.
MAKERS = {
    "FMPadding": "finn/graph.py",
    "GlobalAccPool": "finn/graph.py",
    "Pool": "finn/graph.py",
    "StreamingFIFO": "fifos/sites.py",
    "StreamingConcat": "finn/layers.py",
    "UpsampleNearestNeighbour": "finn/layers.py",
    "FMPadding_Pixel": "finn/layers.py",
    "StreamingDepthToSpace": "finn/layers.py",
}


def copies(**declared: Any) -> type[QdBackend]:
    """A backend that nobody else knows: every code goes through a register."""

    class Copy_qd_rtl(QdBackend, DuplicateStreams):  # noqa: N801 (FINN's naming scheme)
        operator = Operator(
            name="Copy",
            suffix="copy",
            part="copies",
            layer_from=LayerFrom.PRODUCER,
            channels="NumChannels",
            **declared,
        )

        def unit(self, model: Any) -> Unit:
            lanes, bits = int(self.attribute("PE")), bits_of(self.get_input_datatype())
            parameters: dict[str, int | str] = {"K": 1, "PE": lanes, "BITS": bits, "SIGNED": 0}
            return single(Block("qd_maxpool", parameters, (lanes * bits,), (lanes * bits,)))

    return Copy_qd_rtl


@pytest.fixture
def copy_operator() -> Iterator[None]:
    operators.register()
    operators.declare(copies())
    yield
    del operators._backends["Copy"], rtl.custom_op[f"Copy{SUFFIX}"]


def insert_copy(model: Any, after: HwNode) -> None:
    """Put a copy after a layer."""
    source, stream = after.outputs[0], after.output()
    reader = model.find_consumer(source)
    model.set_tensor_shape("copied", list(stream.shape))
    model.set_tensor_datatype("copied", model.get_tensor_datatype(source))
    node = helper.make_node(
        f"Copy{SUFFIX}",
        [source],
        ["copied"],
        domain=RTL_DOMAIN,
        backend="fpgadataflow",
        NumChannels=stream.shape[-1],
        NumOutputStreams=1,
        PE=1,
        inputDataType=model.get_tensor_datatype(source).name,
        numInputVectors=list(stream.shape[:-1]),
        outFIFODepths=[2],
    )
    reader.input[:] = ["copied" if name == source else name for name in reader.input]
    model.graph.node.insert(list(model.graph.node).index(reader), node)
    name_nodes(model)


@pytest.mark.usefixtures("copy_operator")
def test_declared_operator_is_named_folded_costed_and_stitched(tmp_path: Path) -> None:
    graph = GraphMaker(3, (24,), bits=2).dense(16).threshold().dense(8).graph()
    model = hardware_layers(graph)
    insert_copy(model, hw_nodes(model)[0])
    copy = hw_nodes(model)[1]
    assert (copy.name, copy.layer, copy.channels) == ("fc0_dense_copy", "fc0.dense", 16)
    folding = fold(model, Budget(lut=53200, bram36=140, dsp=220), 24)
    lanes = folding.attributes[copy.name]["PE"]
    assert isinstance(lanes, int)
    assert copy.cycles == 16 // lanes <= 24
    connected = connect(model)
    assert block_usage(connected, load_costs())[copy.name].ff > 0
    design = stitch(connected, graph, tmp_path / "rtl", load_board("pynq-z2"), 100.0)
    (layer,) = (one for one in design.layers if one.op == "Copy")
    assert (layer.name, layer.part, layer.folding["PE"]) == (copy.name, "copies", lanes)
    assert "qd_maxpool" in (tmp_path / "rtl" / f"{copy.name}.v").read_text("utf-8")


def test_operator_that_no_backend_declares_is_refused() -> None:
    model = hardware_layers(GraphMaker(3, (24,), bits=2).dense(8).graph())
    node = model.graph.node[0]
    node.op_type = "Copy"
    with pytest.raises(InternalError, match="a Copy, which no backend declares"):
        HwNode.of(model, node)


def test_backend_is_named_after_its_operator() -> None:
    backend = copies()
    backend.__name__ = "Duplicate"
    with pytest.raises(InternalError, match=f"is not called Copy{SUFFIX}"):
        operators.declare(backend)
    assert operators.operator_of("Copy") is None


def test_only_its_backend_and_what_makes_its_nodes_name_an_operator() -> None:
    room = resource("qdeploy")
    # What checks a design reads its manifest anew and shares nothing with what made it.
    checks = room / "verify"
    texts = {
        path.relative_to(room / "dataflow").as_posix()
        if path.is_relative_to(room / "dataflow")
        else path.relative_to(room).as_posix(): path.read_text("utf-8")
        for path in room.rglob("*.py")
        if not path.is_relative_to(checks)
    }
    for one in operators.operators():
        files = {
            name for name, text in texts.items() if re.search(f'"{one.name}("|{SUFFIX})', text)
        }
        backends = {name for name in files if name.startswith("backends/")}
        assert len(backends) == 1, one.name
        assert files - backends == {MAKERS[one.name]} if one.name in MAKERS else files == backends
