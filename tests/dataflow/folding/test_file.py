"""Folding files: what they say, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.folding.file import read_folding, restrict, write_folding
from qdeploy.dataflow.folding.solver import LayerGroup, Option
from qdeploy.errors import FoldingError

GROUPS = [
    LayerGroup(
        "conv_mvau",
        [
            Option(
                {"conv_mvau": {"PE": pe, "SIMD": simd, "resType": "lut"}, "conv_pad": {"SIMD": 3}},
                96 // (pe * simd),
                ResourceUsage(lut=pe * simd),
            )
            for pe in (1, 2, 4, 8)
            for simd in (1, 3, 12)
            if pe * simd <= 24
        ],
    ),
    LayerGroup(
        "pool", [Option({"pool": {"PE": pe}}, 8 // pe, ResourceUsage()) for pe in (1, 2, 4, 8)]
    ),
]


def refused(text: str, folder: Path) -> FoldingError:
    path = folder / "folding.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FoldingError) as caught:
        restrict(GROUPS, read_folding(path))
    return caught.value


def test_a_file_leaves_the_options_that_grant_it(tmp_path: Path) -> None:
    path = tmp_path / "folding.yaml"
    path.write_text("# by hand\nconv_mvau: {PE: 4}\npool:\n  PE: 2\n", encoding="utf-8")
    conv, pool = restrict(GROUPS, read_folding(path))
    assert {option.attributes["conv_mvau"]["PE"] for option in conv.options} == {4}
    assert {option.attributes["conv_mvau"]["SIMD"] for option in conv.options} == {1, 3}
    assert len(pool.options) == 1


def test_what_is_written_reads_back_as_the_same_folding(tmp_path: Path) -> None:
    path = tmp_path / "folding.yaml"
    attributes = {"conv_mvau": {"PE": 8, "SIMD": 3, "resType": "lut"}, "pool": {"PE": 4}}
    write_folding(path, attributes)
    assert {constraint.layer: constraint.values for constraint in read_folding(path)} == attributes


def test_an_illegal_value_is_told_the_nearest_legal_one(tmp_path: Path) -> None:
    error = refused("pool: {PE: 2}\nconv_mvau: {SIMD: 3, PE: 5}\n", tmp_path)
    assert error.where == f"{tmp_path / 'folding.yaml'}:2"
    assert "conv_mvau" in error.what and "PE 5" in error.what
    assert error.why == "legal are 1, 2, 4, 8"
    assert error.do == "the nearest is PE 4"


def test_values_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    error = refused("conv_mvau: {PE: 8, SIMD: 12}\n", tmp_path)
    assert "at once" in error.what


def test_an_unknown_layer_is_told_the_one_that_was_meant(tmp_path: Path) -> None:
    assert refused("conv_mvu: {PE: 1}\n", tmp_path).do == "did you mean `conv_mvau`?"


def test_an_unknown_key_is_told_the_keys_there_are(tmp_path: Path) -> None:
    error = refused("pool: {SIMD: 2}\n", tmp_path)
    assert error.what == "layer `pool` has no `SIMD`" and error.do == "it takes PE"


@pytest.mark.parametrize(
    "text",
    [
        *("- PE\n", "pool: 3\n", "pool: {PE: [1]}\n", "pool: {PE: 1\n", "pool: {PE: true}\n"),
        *('pool: {PE: "[1"}\n', "pool: {PE: 2024-13-45}\n"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    error = refused(text, tmp_path)
    assert error.where is not None and error.where.startswith(str(tmp_path / "folding.yaml") + ":")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pool: {PE: 1}\nconv_mvau: {PE: 2}\npool: {PE: 4}\n", "layer `pool`"),
        ("conv_mvau:\n  PE: 2\n  PE: 4\n", "`PE` of layer `conv_mvau`"),
    ],
)
def test_a_duplicate_key_is_named_with_both_lines(text: str, named: str, tmp_path: Path) -> None:
    error = refused(text, tmp_path)
    assert error.what == f"duplicate key in the folding file: {named}"
    assert error.where == f"{tmp_path / 'folding.yaml'}:3"
    assert error.why is not None and error.why.endswith(f"line {1 if 'pool' in text else 2}")


def test_a_number_in_quotes_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "folding.yaml"
    path.write_text('pool: {PE: "4"}\n', encoding="utf-8")
    assert read_folding(path)[0].values == {"PE": 4}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FoldingError, match="cannot be read"):
        read_folding(tmp_path / "none.yaml")
