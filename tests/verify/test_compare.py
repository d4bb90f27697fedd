"""Comparisons count every code and name the first that differs."""

from __future__ import annotations

import numpy as np
import pytest

from qdeploy.errors import InternalError
from qdeploy.verify.compare import Comparison, compare, first_difference
from qdeploy.verify.ladder import failure
from qdeploy.verify.results import RungResult


def codes() -> dict[str, np.ndarray]:
    return {
        "a": np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5),
        "b": np.arange(2 * 7).reshape(2, 7),
    }


def test_equal_codes_have_no_mismatch() -> None:
    result = compare(["a", "b"], codes(), codes())
    assert (result.frames, result.boundaries, result.codes, result.mismatches) == (2, 2, 134, 0)
    assert result.first is None


def test_the_first_boundary_that_differs_is_named_with_channel_and_pixel() -> None:
    wrong = codes()
    wrong["b"][0, 3] += 1
    wrong["a"][1, 2, 3, 4] = -9
    result = compare(["a", "b"], codes(), wrong)
    assert result.mismatches == 2
    assert result.first is not None
    assert result.first.sentence() == (
        "frame 1, `a`, channel 2, row 3, column 4: -9 instead of 119"
    )


def test_many_mismatches_are_all_counted_but_not_all_listed() -> None:
    left = {"a": np.zeros((1, 5000), dtype=np.int64)}
    right = {"a": np.ones((1, 5000), dtype=np.int64)}
    result = compare(["a"], left, right)
    assert result.mismatches == 5000
    assert len(result.found) == Comparison.LIMIT


def test_a_missing_boundary_or_another_shape_is_a_fault() -> None:
    with pytest.raises(InternalError, match="not computed on both sides"):
        compare(["a", "b"], codes(), {"a": codes()["a"]})
    with pytest.raises(InternalError, match="shapes"):
        compare(["a"], codes(), {"a": codes()["a"][:, :2]})


def test_one_differing_code_fails_an_exact_rung_and_names_it() -> None:
    rung = RungResult("rtl", frames=1, codes=10, mismatches=1, note="frame 0, `a`")
    error = failure([RungResult("int", codes=10), rung])
    assert error is not None
    assert "rung `rtl`: 1 of 10 codes differ" in str(error)


def test_a_float_rung_passes_with_ties_alone_however_many() -> None:
    def torch(origins: int, wrong: int, *, must_be_exact: bool = False) -> RungResult:
        return RungResult(
            "torch",
            codes=1000,
            mismatches=origins,
            origins=origins,
            wrong=wrong,
            must_be_exact=must_be_exact,
        )

    assert torch(70, 0).passed
    assert not torch(70, 1).passed
    assert not torch(1, 0, must_be_exact=True).passed
    assert not RungResult("qonnx", codes=10, wrong=1).passed


def test_a_skipped_rung_neither_passes_silently_nor_fails() -> None:
    rung = RungResult("rtl", skipped="no Verilator")
    assert failure([rung]) is None
    assert rung.record()["skipped"] == "no Verilator"


def test_the_first_difference_has_its_neighbours_and_the_boundary_before() -> None:
    left = {"a": np.zeros((2, 3)), "b": np.arange(2 * 2 * 9 * 9).reshape(2, 2, 9, 9)}
    right = {"a": np.zeros((2, 3)), "b": left["b"].copy()}
    right["b"][1, 0, 1, 4] = -7
    right["b"][1, 1, 8, 8] = -8
    record = first_difference(compare(["a", "b"], left, right).first)["first_difference"]
    assert record["boundary"] == "b" and record["index"] == (0, 1, 4)
    around = record["around"]
    assert (around["before"], around["differing"], around["codes"]) == ("a", 2, 2 * 2 * 81)
    assert around["corner"] == (0, 1)
    assert around["expected"] == left["b"][1, 0, 0:5, 1:8].tolist()
    assert around["actual"] == right["b"][1, 0, 0:5, 1:8].tolist()
    assert around["actual"][1][3] == -7


def test_the_neighbours_in_a_vector_are_one_row() -> None:
    wrong = codes()
    wrong["b"][1, 6] = 0
    around = first_difference(compare(["b"], codes(), wrong).first)["first_difference"]["around"]
    assert (around["before"], around["corner"]) == ("", (0, 3))
    assert (around["expected"], around["actual"]) == ([[10, 11, 12, 13]], [[10, 11, 12, 0]])


def test_equal_levels_have_no_first_difference() -> None:
    assert first_difference(compare(["a"], codes(), codes()).first) == {}
