"""From the names an exporter gives to the modules that a person knows."""

import pytest
from onnx import NodeProto, helper

from qdeploy.lowering.canonical.module_names import (
    call_number,
    call_of,
    module_path,
    numbered,
    path_of,
    scope_of,
    unique,
)


def node(name: str) -> NodeProto:
    return helper.make_node("Quant", ["x"], ["y"], name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/conv1/Conv", "conv1"),
        ("/body/body.0/weight_quant/export_handler/Quant", "body.0"),
        ("/body/body.0/body.0.1/conv/Conv", "body.0.1.conv"),
        ("/act/act_quant/export_handler_1/Quant", "act"),
        ("/Flatten", "flatten"),
        ("a file of its own/Conv", "a file of its own/Conv"),
        ("", "y"),
        ("broken\n  off", "broken_  off"),
        ("/a\x1b[31m\u2028/Conv", "a_[31m_"),
    ],
)
def test_a_node_belongs_to_the_module_that_made_it(name: str, path: str) -> None:
    assert module_path(node(name)) == path


def test_scopes_of_calls_make_the_same_path_as_the_exporter() -> None:
    assert [scope_of(name) for name in ("", "a.conv", "blocks.0", "a.blocks.0.1")] == [
        *("", "conv", "blocks.0", "blocks.0.1")
    ]
    assert path_of(["a", "blocks", "blocks.0", "conv"]) == "a.blocks.0.conv"


def test_calls_of_one_module_are_counted_from_one() -> None:
    assert call_number(node("/act/act_quant/Quant")) == 1
    assert call_number(node("/act/act_quant/export_handler_2/Quant")) == 3
    assert call_number(node("act_quant_2")) == 1
    assert [numbered("act.code", call) for call in (1, 2)] == ["act.code", "act.code_2"]
    assert [call_of(numbered("act.code", call), "act.code") for call in (1, 2, 17)] == [1, 2, 17]


def test_a_taken_name_gets_the_first_free_number() -> None:
    assert unique("a", {"b"}) == "a"
    assert unique("a", {"a", "a_2", "a_4"}) == "a_3"
