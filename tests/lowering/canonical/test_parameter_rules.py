"""Parameters that do not go with their node's tensor are refused before anything computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import QONNX_DOMAIN
from qdeploy.lowering.canonical.parameter_rules import check_counts, check_parameters

Constants = dict[str, tuple[int, ...]]


def model(kind: str, constants: Constants, domain: str = "", **attributes: Any) -> ModelProto:
    """x (1, 2, 8, 8) -> one node."""
    node = helper.make_node(kind, ["x", *constants], ["y"], "odd", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in constants.items()],
    )
    return helper.make_model(graph)


WEIGHTS: Constants = {"w": (4, 2, 3, 3)}


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("name", "right"), [("strides", 2), ("dilations", 2), ("pads", 4), ("kernel_shape", 2)]
)
def test_a_window_has_numbers_for_each_of_its_axes(kind: str, name: str, right: int) -> None:
    constants = WEIGHTS if kind.startswith("Conv") else {}
    check_parameters(model(kind, constants, **{name: [3] * right}))
    for count in (right - 1, right + 1):
        with pytest.raises(UnsupportedLayerError, match=f"`odd`.*{name} 3") as caught:
            check_parameters(model(kind, constants, **{name: [3] * count}))
        assert f"over 2 axes has {right}" in str(caught.value.why)


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 2, 3), (4, 2, 3, 3, 3)])
def test_weights_have_the_axes_of_their_window(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedLayerError, match="it has weights of shape"):
        check_parameters(model(kind, {"w": shape}))


@pytest.mark.parametrize("perm", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [0, -1, 1, 2], []])
def test_a_permutation_is_one(perm: list[int]) -> None:
    check_parameters(model("Transpose", {}, perm=[0, 2, 3, 1]))
    odd = model("Transpose", {}, perm=[3])
    odd.graph.node[0].attribute[0].ints[:] = perm
    with pytest.raises(UnsupportedLayerError, match="its perm is"):
        check_parameters(odd)


@pytest.mark.parametrize("odd", ["scale", "shift", "mean", "variance"])
@pytest.mark.parametrize("shape", [(3,), (0,), (1, 2), ()])
def test_a_batch_norm_has_parameters_for_each_channel(odd: str, shape: tuple[int, ...]) -> None:
    names = ("scale", "shift", "mean", "variance")
    check_parameters(model("BatchNormalization", dict.fromkeys(names, (2,))))
    with pytest.raises(UnsupportedLayerError, match="there is one for each of 2 channels"):
        check_parameters(model("BatchNormalization", {**dict.fromkeys(names, (2,)), odd: shape}))


def quantizer(kind: str, shape: tuple[int, ...]) -> ModelProto:
    """With a scale of that shape."""
    more: Constants = {f"c{k}": () for k in range(QUANTIZERS[kind] - 2)}
    return model(kind, {"scale": shape, **more}, QONNX_DOMAIN)


QUANTIZERS = {"Quant": 4, "BipolarQuant": 2, "Trunc": 5}


@pytest.mark.parametrize(
    ("kind", "domain", "count"),
    [
        *((kind, QONNX_DOMAIN, most + 3) for kind, most in QUANTIZERS.items()),
        *((kind, QONNX_DOMAIN, most - 1) for kind, most in QUANTIZERS.items()),
        ("MultiThreshold", QONNX_DOMAIN, 1),
        ("MultiThreshold", QONNX_DOMAIN, 4),
        ("MatMul", QONNX_DOMAIN, 4),
        ("Relu", "", 2),
    ],
)
def test_the_number_of_inputs_is_the_operators_in_every_domain(
    kind: str, domain: str, count: int
) -> None:
    constants: Constants = {f"c{k}": () for k in range(count - 1)}
    with pytest.raises(UnsupportedLayerError, match=f"`odd` .*it has {count} inputs"):
        check_counts(model(kind, constants, domain))


@pytest.mark.parametrize("kind", ["Quant", "BipolarQuant", "Trunc"])
@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1), (0,), (1, 1, 1, 1, 1), (2, 1, 1, 1)])
def test_quantizers_have_one_number_or_one_for_each_channel(
    kind: str, shape: tuple[int, ...]
) -> None:
    for good in ((), (1,), (2, 1, 1), (1, 2, 1, 1)):
        check_parameters(quantizer(kind, good))
    with pytest.raises(UnsupportedLayerError, match="it has a constant of shape"):
        check_parameters(quantizer(kind, shape))
