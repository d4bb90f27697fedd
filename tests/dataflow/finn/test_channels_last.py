"""Channels last in one walk; FINN's passes reach a fixpoint; what is left over names its layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from random_graphs import GraphMaker, small_convnet, small_mobilenet, small_resnet

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.channels_last import channels_last
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.finn.graph import to_finn
from qdeploy.dataflow.finn.hw_layers import to_hw_layers
from qdeploy.dataflow.finn.passes import forget_unused, run_to_fixpoint
from qdeploy.dataflow.finn.specialize import specialize
from qdeploy.errors import PassError, UnsupportedLayerError
from qdeploy.ir.reference import run_reference


def assert_same_codes(maker: GraphMaker) -> None:
    graph, codes = maker.graph(), maker.frames(3)
    expected = run_reference(graph, codes)
    actual = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize("make", [small_convnet, small_resnet, small_mobilenet])
def test_no_transpose_is_left(make) -> None:
    model = channels_last(to_finn(make().graph()))
    assert {"Transpose", "Conv"}.isdisjoint(node.op_type for node in model.graph.node)


def test_one_flattened_map_feeds_two_layers() -> None:
    maker = GraphMaker(1, (2, 3, 4)).conv(3).threshold().flatten()
    start = maker.mark()
    left = maker.dense(5).threshold(bits=3).mark()
    assert_same_codes(maker.back_to(start).dense(5).threshold(bits=3).add(left).threshold())


@pytest.mark.parametrize("shape", [(1, 3, 4), (4, 1, 1)])
def test_a_vector_with_one_order_only_is_quantized_again(shape: tuple[int, int, int]) -> None:
    assert_same_codes(GraphMaker(6, shape, bits=8).flatten().threshold(bits=4).dense(4))
    maker = GraphMaker(7, shape, bits=4).conv(shape[0]).threshold(bits=4)
    assert_same_codes(maker.flatten().threshold(bits=2).dense(3))


def flattened_then(kind: str) -> GraphMaker:
    """A Flatten of several channels and pixels followed by something that is no layer."""
    maker = GraphMaker(2, (3, 2, 4)).conv(3).threshold(bits=4)
    if kind == "input":
        return GraphMaker(2, (3, 2, 4), bits=8).flatten().threshold(bits=4).dense(4)
    if kind == "quantizer":
        return maker.flatten().threshold(bits=2).dense(4)
    start = maker.mark()
    left = maker.conv(3).threshold(bits=4).flatten().mark()
    return maker.back_to(start).flatten().add(left).threshold().dense(3)


@pytest.mark.parametrize("kind", ["input", "quantizer", "sum"])
def test_a_vector_in_another_order_than_the_files_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer `flatten\d` .*a Flatten") as caught:
        hardware_layers(flattened_then(kind).graph())
    assert caught.value.expected == "codes of a feature map -> Flatten -> Linear"
    assert caught.value.do is not None and "before the Linear" in caught.value.do


def test_the_input_goes_to_a_convolution_and_flattened_to_another_layer() -> None:
    maker = GraphMaker(4, (2, 2, 3), bits=3)
    start = maker.mark()
    left = maker.conv(2).threshold(bits=3).flatten().dense(4).threshold(bits=3).mark()
    maker.back_to(start).flatten().dense(4).threshold(bits=3).add(left).threshold()
    assert_same_codes(maker)


def test_a_map_of_one_channel_and_a_kernel_of_one_are_no_depthwise_units() -> None:
    maker = GraphMaker(5, (1, 4, 4)).conv(1).threshold().conv(1, (1, 1), (1, 1), (0, 0, 0, 0))
    assert_same_codes(maker.threshold(bits=3).conv(3, (1, 1), (2, 2), (0, 0, 0, 0)).threshold())


class Restless(Transformation):
    """Claims a change every time."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        self.rounds = getattr(self, "rounds", 0) + 1
        return model, True


class OneByOne(Transformation):
    """Renames one node a round and asks for the whole model in between."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        node = next((n for n in model.graph.node if not n.name.endswith("!")), None)
        if node is None:
            return model, False
        node.name += "!"
        return model.transform(Restless()), True


def test_a_pass_that_finds_work_for_ever_is_stopped_by_name() -> None:
    model, step = to_finn(small_convnet().graph()), Restless()
    count = len(model.graph.node)
    with pytest.raises(PassError, match=rf"Restless still changed the model after {count + 2} rou"):
        run_to_fixpoint(model, [step])
    assert step.rounds == count + 2


def test_a_pass_that_rewrites_one_node_a_round_reaches_all_of_them() -> None:
    model = run_to_fixpoint(to_finn(small_convnet().graph()), [OneByOne()])
    assert all(node.name.endswith("!") for node in model.graph.node)


def test_what_no_node_knows_is_forgotten() -> None:
    model = to_finn(small_convnet().graph())
    model.set_tensor_shape("nowhere", (1, 2))
    model.set_tensor_datatype("nowhere", DataType["INT3"])
    model.set_initializer("unread", np.ones(3, np.float32))
    before = {item.name for item in model.graph.initializer} - {"unread"}
    forget_unused(model)
    assert {item.name for item in model.graph.initializer} == before
    assert "nowhere" not in {item.name for item in model.graph.value_info}
    assert "nowhere" not in {a.tensor_name for a in model.graph.quantization_annotation}


def with_operator(op: str, **attributes: object) -> ModelWrapper:
    """A FINN model of one convolution, with an operator behind it that has no unit."""
    model = to_finn(GraphMaker(0, (2, 4, 4)).conv(3).threshold().graph())
    last = model.graph.output[0]
    node = helper.make_node(op, [last.name], ["odd_out"], "body.odd.node", **attributes)
    model.graph.node.append(node)
    shape = [dim.dim_value for dim in last.type.tensor_type.shape.dim]
    model.graph.value_info.append(last)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("odd_out", TensorProto.FLOAT, shape))
    return model


@pytest.mark.parametrize(
    ("op", "attributes", "expected", "do"),
    [
        ("Sigmoid", {}, "thresholds of integers", "build the network from"),
        ("Softmax", {"axis": 1}, "thresholds of integers", "build the network from"),
        ("Transpose", {"perm": [0, 1, 3, 2]}, "as (N, C, H, W)", "order of the axes"),
    ],
)
def test_a_node_left_over_names_its_layer_and_what_was_expected(
    op: str, attributes: dict[str, object], expected: str, do: str
) -> None:
    with pytest.raises(UnsupportedLayerError, match=f"layer `body.odd` cannot .*{op}") as caught:
        to_hw_layers(with_operator(op, **attributes))
    error = caught.value
    assert error.where == f"node `body.odd.node` ({op})"
    assert error.expected is not None and expected in error.expected
    assert error.why and error.do is not None and do in error.do


def test_a_hardware_layer_without_backend_names_its_layer_and_the_backends() -> None:
    model = to_hw_layers(to_finn(small_convnet().graph()))
    model.graph.node[0].op_type = "Lookup"
    with pytest.raises(UnsupportedLayerError, match=r"layer `conv0` .*Lookup has no RTL") as caught:
        specialize(model)
    assert caught.value.expected is not None and "MVAU, Pool" in caught.value.expected


def test_integers_beyond_float32_name_their_layer() -> None:
    graph = GraphMaker(0, (2, 4, 4)).conv(3).threshold().graph()
    threshold = graph.nodes[-1]
    huge = replace(threshold, thresholds=threshold.thresholds * 0 + (1 << 24) + 1)
    with pytest.raises(UnsupportedLayerError, match=r"layer `.*`.*beyond 24 bits") as caught:
        to_finn(replace(graph, nodes=(*graph.nodes[:-1], huge)))
    assert caught.value.where == f"node `{threshold.name}` (thresholds)"
