"""What goes into the driver: integers in the network's range or real numbers, never wrapped."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import toy_core

from qdeploy.design.manifest import Stream
from qdeploy.devices.boards import load_board
from qdeploy.ir.input_thresholds import plain
from qdeploy.targets.pynq.package import make_package

SHAPE = (3, 2, 2)


def packaged(
    folder: Path, bits: int, lo: int, hi: int, scale: Fraction | None, input_bits: int = 8
) -> tuple[Path, dict[str, Any]]:
    """The toy core as if its input were narrower; its package and bundle."""
    design = toy_core.write_core(folder / "rtl")
    narrow = Stream("s_axis", "input", (2, 2, 3), bits, False, 3)
    raw = np.random.default_rng(0).integers(lo, hi + 1, (2, *SHAPE)).astype(np.uint8)
    package = make_package(
        folder,
        dataclasses.replace(design, input=narrow),
        load_board("pynq-z2"),
        raw << (8 - input_bits),
        toy_core.expected(raw),
        preparation=plain(scale, lo, hi, SHAPE),
        input_bits=input_bits,
    )
    return package, json.loads((package / "bundle.json").read_text())


@pytest.fixture
def layout(tmp_path: Path, load_driver: Callable[..., ModuleType]) -> Callable[..., Any]:
    def make(*values: Any, **options: Any) -> Any:
        package, bundle = packaged(tmp_path, *values, **options)
        load_driver(package)
        preparation = importlib.import_module("driver.preparation").load(package, bundle)
        return importlib.import_module("driver.layout").Layout(bundle, preparation)

    return make


def test_the_bundle_and_the_readme_say_what_a_value_means(tmp_path: Path) -> None:
    package, bundle = packaged(tmp_path, 4, 0, 15, Fraction(1, 32))
    said = bundle["input"]
    assert (said["range"], said["raw_range"], said["shift"]) == ([0, 15], [0, 15], 0)
    assert (said["scale"], said["step"], said["zero_point"]) == (1 / 32, "1/32", 0)
    text = (package / "README.md").read_text()
    assert "integers from 0 to 15" in text
    assert "one step of it means 0.03125" in text


def test_values_beyond_the_range_are_refused_with_the_range(layout: Callable[..., Any]) -> None:
    made = layout(4, 0, 15, None)
    image = np.full(SHAPE, 200, np.uint8)
    with pytest.raises(ValueError, match="from 0 to 15, not 200 to 200"):
        made.check(image)
    assert made.check(np.full(SHAPE, 15, np.int64)).shape == (1, *SHAPE)


def test_a_narrow_range_never_wraps(layout: Callable[..., Any]) -> None:
    """Code 15 does not exist: the file's quantizer ends at 14."""
    made = layout(4, 0, 14, Fraction(1, 16))
    with pytest.raises(ValueError, match="from 0 to 14"):
        made.check(np.full(SHAPE, 15))
    codes = made.codes(made.check(np.full(SHAPE, 2.0), from_float=True))
    assert (codes == 14).all()


def test_bytes_go_to_a_narrower_input_by_their_upper_bits(layout: Callable[..., Any]) -> None:
    made = layout(3, 0, 7, Fraction(1, 8), input_bits=3)
    assert made.raw_range == (0, 255)
    image = np.arange(12, dtype=np.uint8).reshape(SHAPE) * 23
    codes = made.codes(made.check(image))
    assert np.array_equal(codes, (image >> 5).transpose(1, 2, 0).reshape(1, -1))


def test_real_numbers_are_rounded_half_to_even_and_clipped(layout: Callable[..., Any]) -> None:
    made = layout(4, 0, 15, Fraction(1, 4))
    values = np.zeros(SHAPE)
    values[0, 0] = [0.125, 0.375]
    values[1, 0] = [-3.0, 99.0]
    codes = made.codes(made.check(values, from_float=True)).reshape(2, 2, 3)
    assert codes[0, :, 0].tolist() == [0, 2]
    assert codes[0, :, 1].tolist() == [0, 15]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float, layout: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        layout(4, 0, 15, Fraction(1, 4)).check(np.full(SHAPE, value), from_float=True)


def test_real_numbers_need_a_step_and_a_word(layout: Callable[..., Any]) -> None:
    made = layout(4, 0, 15, None)
    with pytest.raises(TypeError, match="from_float=True"):
        made.check(np.full(SHAPE, 0.5))
    with pytest.raises(ValueError, match="not known"):
        made.check(np.full(SHAPE, 0.5), from_float=True)
