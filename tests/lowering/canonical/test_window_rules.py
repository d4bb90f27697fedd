"""Windows and channels that no file may have are refused before anything computes with them."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.window_rules import check_channels, check_windows


def model(kind: str, weights: tuple[int, ...] = (4, 2, 3, 3), **attributes: Any) -> ModelProto:
    """x (1, 2, 8, 8) -> one convolution or pool."""
    inputs = ["x", "w"] if kind == "Conv" else ["x"]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], "odd", **attributes)],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(weights, np.float32), "w")],
    )
    return helper.make_model(graph)


@pytest.mark.parametrize(
    ("kind", "attributes", "found"),
    [
        ("Conv", {"strides": [1, 0]}, "it has strides 1, 0"),
        ("Conv", {"dilations": [0, 1]}, "it has dilations 0, 1"),
        ("Conv", {"group": 0}, "it has group 0"),
        ("Conv", {"pads": [0, 0, -1, 0]}, "it has pads 0, 0, -1, 0"),
        ("MaxPool", {"kernel_shape": [0, 2]}, "it has kernel_shape 0, 2"),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [0, 0]}, "it has strides 0, 0"),
    ],
)
def test_a_window_out_of_range_is_named(kind: str, attributes: Any, found: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=f"layer `odd` .*{found}") as caught:
        check_windows(model(kind, **attributes))
    assert caught.value.why is not None and "at least" in caught.value.why
    assert caught.value.do


def test_the_least_values_pass_and_one_less_does_not() -> None:
    least = {"strides": 1, "dilations": 1, "kernel_shape": 1, "pads": 0}
    check_windows(model("Conv", **{name: [value, value] for name, value in least.items()}))
    for name, value in least.items():
        with pytest.raises(UnsupportedLayerError, match=f"it has {name} {value - 1}"):
            check_windows(model("Conv", **{name: [value - 1]}))


@pytest.mark.parametrize(
    ("weights", "groups", "found"),
    [
        ((4, 3, 3, 3), 1, "(2, 8, 8) with weights (4, 3, 3, 3) in 1 group"),
        ((4, 2, 3, 3), 2, "in 2 groups"),
        ((3, 1, 3, 3), 2, "in 2 groups"),
    ],
)
def test_weights_that_do_not_take_the_channels_are_named(
    weights: tuple[int, ...], groups: int, found: str
) -> None:
    check_channels(model("Conv", (4, 2 // groups, 3, 3), group=groups))
    with pytest.raises(UnsupportedLayerError) as caught:
        check_channels(model("Conv", weights, group=groups))
    assert found in caught.value.what
