"""The integer graph as a file: what was written comes back, and anything else is refused."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draw_networks import RandomDraw, draw_network
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import (
    GraphMaker,
    small_convnet,
    small_decoder,
    small_mlp,
    small_mobilenet,
    small_resnet,
    small_unet,
)
from same_graph import assert_same_graph

from qdeploy.errors import PassError, UserError
from qdeploy.ir import file as graph_file
from qdeploy.ir.file import METADATA_KEY, read_graph, write_graph
from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import IntegerGraph, Threshold
from qdeploy.ir.structure import KINDS
from qdeploy.lowering.integers.lower import lower_with_affine

MAKERS = (small_convnet, small_mlp, small_resnet, small_mobilenet, small_unet, small_decoder)


def every_kind() -> IntegerGraph:
    """A small graph with a node of every kind."""
    maker = GraphMaker(3, (2, 4, 6)).conv(3, dilation=(1, 2), pads=(1, 2, 1, 2)).bias()
    start = maker.threshold(bits=3, base=-4).mark()
    maker.depthwise().threshold(bits=3, base=-4).add(start).max_pool()
    maker.threshold()
    maker.back_to(maker.upsample((1, 2)).mark()).concat(maker.mark()).dilate((2, 1))
    flat = maker.conv(4, (1, 1), pads=(0, 0, 0, 0)).threshold().depth_to_space().mark()
    maker.flatten()
    return maker.back_to(flat).global_sum().dense(5).argmax().graph("every kind")


def written(graph: IntegerGraph, folder: Path) -> Path:
    path = folder / "model.graph.safetensors"
    write_graph(graph, path)
    return path


def comes_back(graph: IntegerGraph, folder: Path) -> None:
    path = written(graph, folder)
    found = read_graph(path)
    assert_same_graph(found, graph)
    first = path.read_bytes()
    write_graph(found, path)
    assert path.read_bytes() == first


def test_every_kind_of_node_comes_back(tmp_path: Path) -> None:
    graph = every_kind()
    assert {type(node).__name__ for node in graph.nodes} == set(KINDS)
    comes_back(graph, tmp_path)


@pytest.mark.parametrize("make", MAKERS)
def test_random_graphs_come_back(make: Callable[[int], GraphMaker], tmp_path: Path) -> None:
    for seed in range(3):
        comes_back(make(seed).graph(), tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_what_lowering_gives_comes_back(seed: int, tmp_path: Path) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    lowered = lower_with_affine(
        network.save(tmp_path / "network.onnx"), argmax="argmax" in network.features
    )
    comes_back(lowered.graph, tmp_path)


@pytest.mark.parametrize(
    "values",
    [(0,), (-128, 127), (128,), (-(1 << 15), 0), (1 << 31,), (-(1 << 63), (1 << 63) - 1)],
)
def test_integers_of_any_size_come_back_in_the_narrowest_type(
    values: tuple[int, ...], tmp_path: Path
) -> None:
    graph = GraphMaker(0, (1, 2, 2), bits=2).threshold(bits=2).graph()
    table = np.sort(np.resize(np.array(values, dtype=np.int64), (1, 3)), axis=1)
    node = graph.nodes[0]
    assert isinstance(node, Threshold)
    comes_back(replace(graph, nodes=(replace(node, thresholds=table),)), tmp_path)


def test_scales_names_and_the_scale_of_the_logits_come_back(tmp_path: Path) -> None:
    graph = every_kind()
    name = graph.input
    graph.tensors[name] = replace(graph.tensors[name], scale=Fraction(-3, 7 * 2**200))
    last = graph.output
    graph.tensors[last] = replace(graph.tensors[last], scale=None)
    comes_back(
        replace(graph, name='größe → "1"\n', head=Head((Fraction(1, 3),), (Fraction(5, 7),))),
        tmp_path,
    )


def test_a_graph_that_breaks_a_rule_is_not_written(tmp_path: Path) -> None:
    graph = replace(every_kind(), output="nowhere")
    with pytest.raises(PassError, match="nothing makes the output"):
        written(graph, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_graph_too_large_to_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_file, "MAX_ELEMENTS", 10)
    with pytest.raises(UserError, match="elements, more than 10"):
        written(every_kind(), tmp_path)
    assert not list(tmp_path.iterdir())


def refused(data: bytes, folder: Path, message: str = "") -> None:
    """Reading ends in the error for people, which names the file."""
    path = folder / "damaged.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_graph(path)
    assert "damaged.safetensors" in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.why
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`none.safetensors` cannot be read") as caught:
        read_graph(tmp_path / "none.safetensors")
    assert caught.value.why == "No such file or directory"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    graph = GraphMaker(1, (1, 3, 3)).conv(2).threshold().flatten().dense(3).graph()
    return written(graph, tmp_path_factory.mktemp("sound")).read_bytes()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_every_flipped_bit_is_found(
    data: st.DataObject, sound: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bit = data.draw(st.integers(0, 8 * len(sound) - 1))
    changed = bytearray(sound)
    changed[bit // 8] ^= 1 << bit % 8
    refused(bytes(changed), tmp_path_factory.getbasetemp())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_short_or_with_more_after_it_is_refused(
    data: st.DataObject, sound: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    end = data.draw(st.integers(0, len(sound) - 1))
    folder = tmp_path_factory.getbasetemp()
    refused(sound[:end], folder)
    refused(sound + bytes(end + 1), folder)


def test_a_file_that_is_none_of_ours_is_refused(sound: bytes, tmp_path: Path) -> None:
    refused(b"", tmp_path, "0 bytes")
    refused(b"no graph at all", tmp_path, "header has")
    refused(struct.pack("<Q", 2) + b"{}", tmp_path, "holds no integer graph")
    refused(struct.pack("<Q", 2) + b"[]", tmp_path, "not a JSON object")
    refused(struct.pack("<Q", 1 << 62) + b"{}", tmp_path, "header has")


@pytest.mark.parametrize("depth", [5, 100, 100_000])
def test_deep_json_is_refused(depth: int, tmp_path: Path) -> None:
    deep = "[" * depth + "]" * depth
    for text in (deep, json.dumps({"__metadata__": {METADATA_KEY: deep}})):
        refused(struct.pack("<Q", len(text)) + text.encode(), tmp_path)


def edited(sound: bytes, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """The file with its header and its envelope changed; lengths fit, the hash does not."""
    length = struct.unpack("<Q", sound[:8])[0]
    header = json.loads(sound[8 : 8 + length])
    envelope = json.loads(header["__metadata__"][METADATA_KEY])
    change(header, envelope)
    header["__metadata__"][METADATA_KEY] = json.dumps(envelope)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + sound[8 + length :]


def node(index: int, **values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, envelope: envelope["graph"]["nodes"][index].update(values)


def tensor(index: int, **values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, envelope: envelope["graph"]["tensors"][index].update(values)


def graph(**values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, envelope: envelope["graph"].update(values)


def array(**values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, envelope: header["conv0.conv.weights"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, envelope: envelope.update(version=2), "has version 2, not 1"),
        (lambda header, envelope: envelope.update(version=True), "has version True"),
        (lambda header, envelope: envelope.update(more=1), "other entries"),
        (lambda header, envelope: envelope.pop("sha256"), "other entries"),
        (lambda header, envelope: header.pop("conv0.conv.weights"), "bytes are there|are there"),
        (graph(more=1), "unknown key 'more'"),
        (graph(nodes={}), "nodes: not a list"),
        (graph(head={"gain": [1], "offset": []}), "not a fraction"),
        (graph(input="nowhere"), "`nowhere` is no tensor"),
        (graph(output="nowhere"), "nothing makes the output"),
        (node(0, kind="Pool"), "unknown kind 'Pool'"),
        (node(0, kind=["Conv"]), "unknown kind"),
        (node(0, stride=[0, 1]), "out of range"),
        (node(0, stride=[1, 1, 1]), "3 integers, not 2"),
        (node(0, pads=[1, 1, 1, -1]), "not an integer from 0"),
        (node(0, groups=1.0), "groups: not an integer"),
        (node(0, groups=1 << 40), "becomes None"),
        (node(0, weights=[]), "unknown key 'weights'"),
        (node(0, name="other"), "array `other.weights` is missing"),
        (node(1, name="conv0.conv"), "array `conv0.conv.thresholds` is missing"),
        (node(1, base=1 << 200), "base: not an integer"),
        (node(1, inputs=["x", "x", "x"]), "not a list of at most 2"),
        (node(2, inputs=["act1.code", "act1.code"]), "2 inputs"),
        (node(2, output="nowhere"), "is no tensor of the graph"),
        (tensor(0, shape=[1, 3]), "2 sizes, not 1 or 3"),
        (tensor(0, shape=[1, 3, 0]), "not an integer from 1"),
        (tensor(0, bits=1 << 40), "bits: not an integer"),
        (tensor(0, signed=1), "not true or false"),
        (tensor(0, name="y" * 2000), "at most 1000 characters"),
        (tensor(0, name="conv0.acc"), "two tensors are called `conv0.acc`"),
        (tensor(0, scale="1/0"), "not a fraction"),
        (tensor(0, scale=0.5), "not a fraction"),
        (tensor(0, lo=-1), "do not fit"),
        (tensor(1, lo=True), "lo: not an integer"),
        (array(dtype="F32"), "its type is 'F32'"),
        (array(shape=[1 << 20] * 4), "does not fill its offsets"),
        (array(shape=[1, 1, 1, 1, 18]), "out of range"),
        (array(shape=[18]), "does not fill|1 axes, not 4"),
        (array(shape=[1, 2, 3, 3]), "becomes"),
        (array(shape=[-2, -1, 3, 3]), "out of range"),
        (array(data_offsets=[0, 1 << 60]), "out of range"),
        (array(more=1), "not a dtype, a shape and offsets"),
        (tensor(0, hi=254), "does not have the hash"),
    ],
)
def test_a_defect_is_named(
    change: Callable[[dict[str, Any], dict[str, Any]], None],
    message: str,
    sound: bytes,
    tmp_path: Path,
) -> None:
    refused(edited(sound, change), tmp_path, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version":1,"version":1}', "there twice"),
        ('{"version":NaN}', "holds NaN"),
        ('{"version":-Infinity}', "holds -Infinity"),
        ('{"version":1e999}', "version inf"),
        ("9" * 5000, "integer string conversion"),
        ('{"version":1}{}', "Extra data"),
    ],
)
def test_json_that_is_not_strict_is_refused(text: str, message: str, tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {METADATA_KEY: text}}).encode()
    refused(struct.pack("<Q", len(header)) + header, tmp_path, message)


def test_what_a_file_only_declares_takes_no_memory(tmp_path: Path) -> None:
    """A header that promises 2^60 bytes, and one whose shape is that large."""
    shapes: list[list[int]] = [[1 << 27, 1 << 27, 1, 1], [1 << 27, 1, 1, 1]]
    for shape in shapes:
        count = int(np.prod([float(n) for n in shape]))
        header = {
            "__metadata__": {METADATA_KEY: '{"version":1,"sha256":"","graph":{}}'},
            "w.weights": {"dtype": "I8", "shape": shape, "data_offsets": [0, min(count, 1 << 30)]},
        }
        text = json.dumps(header).encode()
        tracemalloc.start()
        refused(struct.pack("<Q", len(text)) + text, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20
