"""Failures around ONNX's and QONNX's own packages: theirs are the file's, ours stay ours."""

from __future__ import annotations

import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from qdeploy.design.packing import pack
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.executor import foreign_tools


def test_what_a_foreign_package_raises_is_the_files() -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    with (
        pytest.raises(UnsupportedLayerError, match="the sum cannot be computed") as caught,
        foreign_tools("the sum"),
    ):
        ReferenceEvaluator(node).run(None, {"x": 1})
    assert "NoSuchOperator" in (caught.value.why or "")


def test_what_this_project_raises_goes_on_as_it_is() -> None:
    with pytest.raises(ValueError, match="do not fit 2 bits"), foreign_tools("the sum"):
        pack([9], 2, 1)
