"""The network's layer names reach modules, instances and files, whatever the layers are called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.finn.names import LONGEST, distinct, identifier
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.tools import find_tool, run_tool

BOARD = load_board("pynq-z2")
ODD = ("reg", "module", "case", "a.b", "a_b", "A.b", "1st", "déjà vu", "x" * 300, "x" * 299 + "y")


def renamed(graph: IntegerGraph, layers: dict[str, str]) -> IntegerGraph:
    """The graph with other layer names, node names included."""
    nodes = [
        replace(node, layer=new, name=f"{new}.{node.name.removeprefix(node.layer).lstrip('.')}")
        for node in graph.nodes
        for new in [layers.get(node.layer, node.layer)]
    ]
    return replace(graph, nodes=tuple(nodes))


def odd_names(count: int = len(ODD)) -> tuple[IntegerGraph, np.ndarray]:
    """A chain of small layers with names that are not identifiers, or no good ones."""
    maker = GraphMaker(0, (1, 2, 2), bits=2)
    for _ in range(count):
        maker.conv(2, (1, 1), (1, 1), (0, 0, 0, 0)).threshold()
    graph = maker.graph("9 case")
    layers = list(dict.fromkeys(node.layer for node in graph.nodes))
    names = (ODD[index // 2] for index in range(len(layers)))
    return renamed(graph, dict(zip(layers, names, strict=True))), maker.frames(3)


def test_a_residual_networks_names_reach_every_module_instance_and_file(tmp_path: Path) -> None:
    recipe = load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), ("network.width=2",))
    network = build_network(recipe, quantized=True)
    graph = lower_untrained(network)
    modules = {name for name, _ in network.named_modules()}
    layers = {node.layer for node in graph.nodes}
    assert {"group1.block1.conv1", "group2.block1.shortcut.0", "head"} & layers <= modules
    assert all(node.name.startswith(f"{node.layer}.") for node in graph.nodes)

    design = compile_graph(graph, BOARD, tmp_path / "rtl", fps=1000.0).design
    stems = {identifier(layer) for layer in layers} | {"input", "output"}
    for layer in design.layers:
        assert layer.name.startswith(f"{identifier(layer.layer)}_") or layer.name.startswith(
            ("input_", "output_")
        ), layer.name
    library = {path.name for path in resource("hw/rtl").glob("*.v")}
    made = {*design.sources, *design.memories} - library - {f"{design.top}.v"}
    assert {f"{layer.name}.v" for layer in design.layers} <= made
    for name in made:
        assert any(name.startswith(f"{stem}_") for stem in stems), name
    top = (tmp_path / "rtl" / f"{design.top}.v").read_text()
    instances = re.findall(r"^  (\w+) (\w+)_i \($", top, flags=re.MULTILINE)
    assert [pair[0] for pair in instances] == [layer.name for layer in design.layers]
    assert all(module == instance for module, instance in instances)


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Design]:
    folder = tmp_path_factory.mktemp("names") / "rtl"
    return folder, compile_graph(odd_names()[0], BOARD, folder, fps=1000.0).design


def test_layers_whose_identifiers_collide_stay_apart(oddly_named: tuple[Path, Design]) -> None:
    folder, design = oddly_named
    names = [layer.name for layer in design.layers]
    assert not [name for name, n in Counter(n.lower() for n in names).items() if n > 1]
    assert all((folder / f"{name}.v").exists() for name in names)
    colliding = [layer.layer for layer in design.layers if layer.name.lower().startswith("a_b_")]
    assert set(colliding) == {"a.b", "a_b", "A.b"}
    assert max(len(path.name) for path in folder.iterdir()) < 255


def test_names_that_are_keywords_or_no_identifiers_parse(
    oddly_named: tuple[Path, Design], tmp_path: Path
) -> None:
    folder, design = oddly_named
    lint = [find_tool("verilator"), "--lint-only", "-Wno-lint", "-Wno-style"]
    lint += ["--top-module", design.top, *design.sources]
    assert "%Error" not in run_tool(lint, folder, tmp_path / "lint.log", 120)
    script = f"read_verilog -defer {' '.join(design.sources)}; hierarchy -check -top {design.top}"
    yosys = [find_tool("yosys"), "-p", f"{script}; ls"]
    modules = set(run_tool(yosys, folder, tmp_path / "yosys.log", 120).split())
    assert {layer.name for layer in design.layers} <= modules


def test_codes_do_not_depend_on_names(oddly_named: tuple[Path, Design]) -> None:
    from qdeploy.dataflow.compile import hardware_layers

    graph, codes = odd_names()
    expected = run_reference(graph, codes)
    actual = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@given(st.text(max_size=400))
def test_an_identifier_is_one_whatever_it_is_made_of(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", identifier(text))
    assert len(identifier(text)) <= LONGEST


def test_long_names_that_differ_at_their_ends_stay_apart() -> None:
    assert identifier("x" * 300) != identifier("x" * 299 + "y")
    assert identifier("x" * LONGEST) == "x" * LONGEST


def test_numbers_behind_equal_names_do_not_meet_other_names() -> None:
    assert distinct(["a", "b"]) == ["a", "b"]
    assert distinct(["a", "a_1", "a", "A", "a"]) == ["a", "a_1", "a_2", "A_3", "a_4"]


@given(st.lists(st.sampled_from(["a", "A", "a_1", "a_2", "a_1_1", "b"]), max_size=12))
def test_distinct_names_differ_even_without_case(names: list[str]) -> None:
    result = distinct(names)
    assert len({name.lower() for name in result}) == len(names)
    assert all(new.startswith(old) for new, old in zip(result, names, strict=True))
