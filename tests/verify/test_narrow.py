"""Codes in narrow types: nothing is cut, and what computes with them does not overflow."""

from __future__ import annotations

import numpy as np
import pytest

from qdeploy.ir.integer_graph import Add, IntType, Tensor
from qdeploy.ir.reference import evaluate
from qdeploy.verify.narrow import code_type, joined, narrow


@pytest.mark.parametrize(
    ("lo", "hi", "kind"),
    [
        (0, 255, np.uint8),
        (-128, 127, np.int8),
        (-1, 200, np.int16),
        (0, 40_000, np.uint16),
        (-(1 << 31), (1 << 31) - 1, np.int32),
        (0, 1 << 31, np.int64),
    ],
)
def test_a_type_holds_both_ends_of_an_interval(lo: int, hi: int, kind: type) -> None:
    assert code_type(Tensor("x", (1,), IntType(40, True), lo, hi)) == kind


@pytest.mark.parametrize("code", [-1, 256, 1 << 20])
def test_a_code_outside_of_its_interval_is_kept(code: int) -> None:
    found = narrow(np.array([[3], [code]], dtype=np.int32), np.dtype(np.uint8))
    assert found.dtype == np.int64
    assert found.tolist() == [[3], [code]]


def test_parts_of_which_one_is_wide_are_joined_without_cutting_it() -> None:
    kind = np.dtype(np.uint8)
    parts = [{"x": narrow(np.array([[one]]), kind)} for one in (7, 256, 9)]
    assert joined(parts)["x"].tolist() == [[7], [256], [9]]


def test_narrow_codes_are_added_without_overflow() -> None:
    codes = np.array([[200, 100]], dtype=np.uint8)
    assert evaluate(Add("add", "", ("a", "b"), "y"), codes, codes).tolist() == [[400, 200]]
