"""Files from strangers: what they declare is bounded before anything is computed or looked up."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdeploy.errors import QDeployError, UnsupportedLayerError
from qdeploy.lowering.canonical import bounds
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
CONSTANTS = {
    "scale": np.float32(0.25),
    "zero": np.float32(0),
    "bits": np.float32(8),
    "two": np.float32(2),
    "weights": np.eye(3, dtype=np.float32) * np.float32(0.25),
}


def layers(quant: Quant) -> list[onnx.NodeProto]:
    return [
        quant("x", "xq", "scale", "bits", signed=0),
        quant("weights", "wq", "scale", "two", signed=1),
        helper.make_node("MatMul", ["xq", "wq"], ["out"], "fc"),
    ]


def test_the_plain_file_is_taken(write_qonnx: Write, quant_node: Quant) -> None:
    assert lower(write_qonnx(layers(quant_node), CONSTANTS, (1, 3), (1, 3))).output == "logits"


@pytest.mark.parametrize("domain", ["antigravity", "os", "evil.module", "qonnx.custom_op.evil"])
def test_a_domain_never_reaches_an_import(
    domain: str,
    write_qonnx: Write,
    quant_node: Quant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """qonnx imports the package that a node's domain names: here it would leave a trace."""
    package = tmp_path / "evil"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text("raise SystemExit(86)")
    monkeypatch.syspath_prepend(str(tmp_path))
    nodes = layers(quant_node)
    nodes.insert(1, helper.make_node("Sneaky", ["xq"], ["xs"], "sneaky", domain=domain))
    nodes[-1].input[0] = "xs"
    before = set(sys.modules)
    path = write_qonnx(nodes, CONSTANTS, (1, 3), (1, 3))
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(model, path)
    with pytest.raises(UnsupportedLayerError, match="domain") as caught:
        canonical(path)
    assert domain in str(caught.value)
    assert not {"evil", "antigravity"} & (set(sys.modules) - before)


@pytest.mark.parametrize("domain", bounds.SAME_AS_QONNX)
def test_older_names_of_the_qonnx_domain_mean_the_same(
    domain: str, write_qonnx: Write, quant_node: Quant
) -> None:
    nodes = layers(quant_node)
    for node in nodes[:2]:
        node.domain = domain
    path = write_qonnx(nodes, CONSTANTS, (1, 3), (1, 3))
    assert lower(path).weights_of() == 9


BIG = 10**11
GROWERS = {
    "Expand": (["one", "shape"], {"one": np.float32([1]), "shape": np.array([BIG])}),
    "ConstantOfShape": (["shape"], {"shape": np.array([BIG])}),
    "Tile": (["one", "shape"], {"one": np.float32([1]), "shape": np.array([BIG])}),
    "Range": (
        ["start", "limit", "delta"],
        {"start": np.int64(0), "limit": np.int64(BIG), "delta": np.int64(1)},
    ),
    "Add": (
        ["column", "row"],
        {"column": np.ones((1 << 14, 1), np.float32), "row": np.ones((1, 1 << 14), np.float32)},
    ),
}


@pytest.mark.parametrize("kind", GROWERS)
def test_no_constant_grows_without_bound(kind: str, write_qonnx: Write, quant_node: Quant) -> None:
    inputs, constants = GROWERS[kind]
    nodes = [
        helper.make_node(kind, inputs, ["grown"], "grower"),
        *layers(quant_node),
        helper.make_node("Add", ["sums", "grown"], ["out"], "last"),
    ]
    nodes[-2].output[0] = "sums"
    path = write_qonnx(nodes, CONSTANTS | constants, (1, 3), (1, 3))
    start = time.monotonic()
    with pytest.raises(QDeployError, match=r"constant of|cannot be computed"):
        canonical(path, probe=False)
    assert time.monotonic() - start < 10


def test_a_loop_is_refused_before_it_runs(write_qonnx: Write, quant_node: Quant) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    constants = CONSTANTS | {"times": np.int64(10**7), "yes": np.array(True)}
    nodes = [helper.make_node("Loop", ["times", "yes"], [], "loop", body=body), *layers(quant_node)]
    with pytest.raises(UnsupportedLayerError, match="graph of its own"):
        canonical(write_qonnx(nodes, constants, (1, 3), (1, 3)), probe=False)


@pytest.mark.parametrize("dims", [[-5], [1 << 40], [4]])
def test_constants_have_the_data_their_shape_says(
    dims: list[int], write_qonnx: Write, quant_node: Quant
) -> None:
    path = write_qonnx(layers(quant_node), CONSTANTS, (1, 3), (1, 3))
    model = onnx.load(path)
    tensor = next(item for item in model.graph.initializer if item.name == "weights")
    del tensor.dims[:]
    tensor.dims.extend(dims)
    onnx.save(model, path)
    with pytest.raises(UnsupportedLayerError, match="the constant `weights`"):
        canonical(path)


def test_a_map_larger_than_any_board_is_refused_in_seconds(
    write_qonnx: Write, quant_node: Quant
) -> None:
    nodes = [quant_node("x", "xq", "scale", "bits", signed=0)]
    path = write_qonnx(nodes, CONSTANTS, (1, 2, 1 << 20, 1 << 20), (1, 2, 1 << 20, 1 << 20))
    start = time.monotonic()
    with pytest.raises(UnsupportedLayerError, match="larger than any board"):
        canonical(path)
    assert time.monotonic() - start < 5


def test_too_many_nodes_are_refused_at_once(
    write_qonnx: Write, quant_node: Quant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_NODES", 2)
    with pytest.raises(UnsupportedLayerError, match="larger than any board"):
        canonical(write_qonnx(layers(quant_node), CONSTANTS, (1, 3), (1, 3)))


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_FILE_BYTES", 10)
    path = tmp_path / "big.onnx"
    path.write_bytes(b"x" * 11)
    with pytest.raises(UnsupportedLayerError, match="larger than any board"):
        canonical(path)


def test_what_doubles_and_doubles_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    """No node is large in the file: forty in a row would be a terabyte."""
    nodes = layers(quant_node)
    doubling = [
        helper.make_node("Concat", [name, name], [f"double{index}"], f"d{index}", axis=1)
        for index, name in enumerate(["x", *(f"double{index}" for index in range(39))])
    ]
    last = helper.make_node("Add", ["sums", "double39"], ["out"], "last")
    nodes[-1].output[0] = "sums"
    path = write_qonnx([*doubling, *nodes, last], CONSTANTS, (1, 3), (1, 3))
    start_time = time.monotonic()
    with pytest.raises(QDeployError, match=r"constant of|more than|cannot be computed"):
        canonical(path, probe=False)
    assert time.monotonic() - start_time < 10


def test_the_products_of_constants_are_bounded(write_qonnx: Write, quant_node: Quant) -> None:
    names, count = ["left", "right"], 1 << 13
    factors = {  # a hundred billion products
        "left": np.zeros((count, 1 << 10), np.float32),
        "right": np.zeros((1 << 10, count), np.float32),
    }
    nodes = [helper.make_node("MatMul", names, ["grown"], "grower"), *layers(quant_node)]
    nodes[-1].output[0] = "sums"
    nodes.append(helper.make_node("Add", ["sums", "grown"], ["out"], "last"))
    with pytest.raises(QDeployError, match="constant of"):
        canonical(write_qonnx(nodes, CONSTANTS | factors, (1, 3), (1, 3)), probe=False)


@pytest.mark.slow
def test_a_hundred_thousand_nodes_end_in_seconds(write_qonnx: Write, quant_node: Quant) -> None:
    for count in (bounds.MAX_NODES - 10, 100_000):
        names = ["x", *(f"relu{index}" for index in range(count))]
        chain = [
            helper.make_node("Relu", [one], [other], f"n_{other}") for one, other in pairwise(names)
        ]
        nodes = layers(quant_node)
        nodes[0].input[0] = names[-1]
        path = write_qonnx([*chain, *nodes], CONSTANTS, (1, 3), (1, 3))
        start = time.process_time()
        with contextlib.suppress(QDeployError):
            lower(path)
        assert time.process_time() - start < 10


@pytest.mark.parametrize(("key", "value"), [("signed", -1), ("narrow", 2), ("signed", 1 << 40)])
def test_attributes_of_quantizers_have_known_values(
    key: str, value: int, write_qonnx: Write, quant_node: Quant
) -> None:
    nodes = layers(quant_node)
    item = next((one for one in nodes[0].attribute if one.name == key), None)
    if item is None:
        nodes[0].attribute.append(helper.make_attribute(key, value))
    else:
        item.i = value
    with pytest.raises(UnsupportedLayerError, match=f"its {key} is"):
        canonical(write_qonnx(nodes, CONSTANTS, (1, 3), (1, 3)))


def test_an_average_of_unbounded_width_is_refused_at_once(
    write_qonnx: Write, quant_node: Quant
) -> None:
    pool = helper.make_node(
        *("QuantAvgPool2d", ["xq"], ["out"], "pool"),
        domain=bounds.QONNX_DOMAIN,
        **{"kernel": 2, "stride": 2, "ibits": 1 << 50, "obits": 2, "signed": 0},
    )
    nodes = [quant_node("x", "xq", "scale", "bits", signed=0), pool]
    with pytest.raises(UnsupportedLayerError, match="its ibits is"):
        canonical(write_qonnx(nodes, CONSTANTS, (1, 2, 4, 4), (1, 2, 2, 2)))


def test_shape_inference_that_would_end_the_process_is_not_asked(
    write_qonnx: Write, quant_node: Quant
) -> None:
    turned = helper.make_node("ConvTranspose", ["weights", "zero"], ["grown"], "turned")
    nodes = [turned, *layers(quant_node)]
    nodes[-1].output[0] = "sums"
    nodes.append(helper.make_node("Add", ["sums", "grown"], ["out"], "last"))
    with pytest.raises(UnsupportedLayerError, match="turned"):
        canonical(write_qonnx(nodes, CONSTANTS, (1, 3), (1, 3)))


def test_parameters_of_a_quantizer_that_is_turned_go_with_its_constant(
    write_qonnx: Write, quant_node: Quant
) -> None:
    nodes = layers(quant_node)
    nodes.insert(2, helper.make_node("Transpose", ["wq"], ["turned"], "turn", perm=[1, 0]))
    nodes[-1].input[1] = "turned"
    nodes[1].input[1] = "wide"
    wide = {"wide": np.full(4, 0.25, np.float32)}
    with pytest.raises(UnsupportedLayerError):
        canonical(write_qonnx(nodes, CONSTANTS | wide, (1, 3), (1, 3)))
