"""Does it fit: what is exceeded, by which layers, and where the design would fit."""

from __future__ import annotations

import pytest

from qdeploy.devices.boards import load_board
from qdeploy.devices.capacity import ESTIMATE_MARGIN, TITLES, USABLE, Counts, usable
from qdeploy.devices.fit import Fit, LayerUse, available

BOARD = load_board("pynq-z2")


def fit(estimated: bool = False, **counts: float) -> Fit:
    return Fit(Counts(**counts).used(), available(BOARD), estimated)  # type: ignore[arg-type]


def test_an_estimate_stays_a_margin_below_what_synthesis_may_count() -> None:
    assert usable("lut") == USABLE
    assert usable("lut", estimated=True) == pytest.approx(USABLE - ESTIMATE_MARGIN)
    assert usable("dsp", estimated=True) == usable("dsp")  # estimated exactly
    assert fit(lut=44_000).fits
    assert not fit(estimated=True, lut=44_000).fits


def test_all_of_the_limit_fits_and_one_more_does_not() -> None:
    for kind in TITLES:
        most = BOARD.resources.model_dump()[kind] * usable(kind)
        assert fit(**{kind: int(most)}).fits
    assert not fit(bram36=133.5).fits


def test_shift_registers_count_as_luts_that_are_memory() -> None:
    assert list(fit(lutram=10_000, srl=5_000).exceeded) == ["lutram"]


def test_the_worst_comes_first_with_its_multiple() -> None:
    found = fit(lut=53_200, dsp=2_090)
    assert list(found.exceeded) == ["dsp", "lut"]
    assert found.exceeded["dsp"] == pytest.approx(10)
    assert found.excess().startswith("2,090 of 220 DSPs (95% = 209 are usable), 10.00 times that, ")


def test_what_is_missing_would_make_the_design_fit() -> None:
    found = fit(lut=60_000, ff=150_000)
    missing = found.missing()
    assert set(missing) == {"lut", "ff"}
    larger = {kind: has + missing.get(kind, 0) for kind, has in found.available.items()}
    for kind in missing:
        assert larger[kind] * usable(kind) == pytest.approx(found.used[kind])


def test_the_biggest_layers_are_those_of_what_is_exceeded_most() -> None:
    layers = [
        LayerUse("`a`", Counts(lut=9_000, dsp=1).used(), {"PE": 2}),
        LayerUse("`b`", Counts(lut=100, dsp=300).used()),
    ]
    text = fit(lut=9_100, dsp=301).biggest(layers)
    assert text == "biggest layers: `b` 300 DSPs; `a` 1 DSPs (PE=2)"


def test_other_boards_are_named_and_the_board_itself_is_not() -> None:
    text = fit(lut=50_000).other_boards("zcu104")
    assert text.startswith("as it is it fits on: ")
    assert "kv260" in text and "zcu104" not in text and "pynq" not in text
    assert "is estimated to fit on" in fit(estimated=True, lut=50_000).other_boards()
    assert fit(lut=10**7).other_boards() == ""


def test_what_is_allowed_counts_where_it_is_less_than_usable() -> None:
    used = Counts(lut=12_000, dsp=3).used()
    found = Fit(used, available(BOARD), most={"lut": 10_640, "dsp": 0})
    assert list(found.exceeded) == ["dsp", "lut"]
    assert found.excess() == (
        "3 of 220 DSPs, where 0 are allowed,"
        " 12,000 of 53,200 LUTs, where 10,640 are allowed, 1.13 times that"
    )
    assert found.needed() == {"dsp": 3, "lut": 12_000}
    assert found.on(BOARD).fits
    assert Fit(Counts(lut=50_000).used(), available(BOARD), most={"lut": 9}).needed() == {}
