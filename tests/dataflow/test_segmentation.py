"""Networks that decide for every pixel: maps of logits, maps of classes."""

from __future__ import annotations

import numpy as np
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.ir.reference import run_reference


def small_segmentation(seed: int = 0) -> GraphMaker:
    """Strided stem, dilated depthwise layer, five logits for each of 3x4 pixels."""
    maker = GraphMaker(seed, (2, 6, 8)).conv(4, stride=(2, 2), weight_bits=8).threshold(bits=3)
    maker.depthwise(dilation=(2, 2), pads=(2, 2, 2, 2)).threshold(bits=3)
    return maker.conv(5, (1, 1), pads=(0, 0, 0, 0), weight_bits=8)


def assert_same_codes(maker: GraphMaker) -> None:
    graph, codes = maker.graph(), maker.frames(3)
    expected = run_reference(graph, codes)
    actual = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def test_logits_for_every_pixel_become_hardware_layers() -> None:
    assert_same_codes(small_segmentation())


def test_a_bias_for_the_logits_of_every_pixel_becomes_a_hardware_layer() -> None:
    assert_same_codes(small_segmentation(2).bias())
    assert_same_codes(small_segmentation(2).bias().argmax())


def test_a_class_for_every_pixel_becomes_hardware_layers() -> None:
    maker = small_segmentation(1).argmax()
    assert maker.now.shape == (1, 3, 4)
    assert_same_codes(maker)


def test_the_largest_logit_takes_its_cycles_for_every_pixel() -> None:
    model = hardware_layers(small_segmentation().argmax().graph())
    (argmax,) = (node for node in model.graph.node if node.op_type.startswith("LabelSelect"))
    inst = getCustomOp(argmax)
    inst.set_nodeattr("PE", 1)
    assert inst.get_exp_cycles() == 3 * 4 * 5
