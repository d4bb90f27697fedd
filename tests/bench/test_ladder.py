"""The ladder's networks can be built, and one whose codes collapsed does not pass."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from random_graphs import GraphMaker

import qdeploy
from qdeploy.ir.reference import run_reference
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.verify.results import RungResult

ROOT = Path(qdeploy.__file__).resolve().parent.parent


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import ladder_networks

    return ladder_networks


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import spread

    return spread


def test_every_network_has_a_name_of_its_own_and_changes_that_its_recipe_takes(
    networks: ModuleType,
) -> None:
    names = [entry.name for entry in networks.LADDER]
    assert len(set(names)) == len(names)
    for entry in networks.LADDER:
        recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
        if recipe.quantization.layers:  # whether each pattern fits a layer shows when it is built
            build_network(recipe, quantized=False, shape=entry.shape, classes=entry.classes)


def small(argmax: bool = False) -> GraphMaker:
    maker = GraphMaker(3, (2, 6, 6)).conv(4).threshold(bits=2).conv(5).threshold(bits=3)
    maker.global_sum().dense(6, weight_bits=8)
    return maker.argmax() if argmax else maker


@pytest.mark.parametrize("argmax", [False, True])
def test_frames_that_differ_show_in_the_spread(spread: ModuleType, argmax: bool) -> None:
    maker = small(argmax)
    graph, frames = maker.graph(), maker.frames(40)
    codes = run_reference(graph, frames)
    found = spread.spread(graph, codes, argmax)
    output = codes[graph.output].reshape(40, -1)
    assert found.classes == len(np.unique(output if argmax else output.argmax(axis=1)))
    assert found.fewest_codes == 4
    assert 0.25 <= found.code_share < 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda codes: codes * 0, "one code only"),
        (lambda codes: (codes > 0) & (np.arange(len(codes))[:, None, None, None] == 0), "one code"),
        (lambda codes: np.broadcast_to(codes[:1], codes.shape), "the same in every frame"),
    ],
)
def test_collapsed_codes_of_one_boundary_are_reported(
    spread: ModuleType, change: object, why: str
) -> None:
    maker = small()
    graph, frames = maker.graph(), maker.frames(40)
    codes = run_reference(graph, frames)
    name = next(name for name in graph.boundaries() if codes[name].ndim == 4)
    codes[name] = change(codes[name])
    collapsed = spread.spread(graph, codes, False).collapsed()
    assert why in collapsed and f"`{name}`" in collapsed


def test_one_class_for_every_frame_is_reported(spread: ModuleType) -> None:
    maker = small()
    graph, frames = maker.graph(), maker.frames(40)
    codes = run_reference(graph, frames)
    codes[graph.output] = codes[graph.output] + 10**6 * (np.arange(6) == 2)
    assert "1 classes" in spread.spread(graph, codes, False).collapsed()


@pytest.mark.parametrize(
    ("name", "changed", "held"),
    [
        ("rtl", {"mismatches": 1}, False),
        ("rtl", {}, True),
        ("rtl", {"frames": 0}, False),
        ("qonnx", {"mismatches": 200, "origins": 1, "class_mismatches": 1}, True),
        ("qonnx", {"mismatches": 3, "origins": 3}, True),
        ("qonnx", {"mismatches": 3, "origins": 3, "wrong": 1}, False),
        ("torch", {"mismatches": 1, "origins": 1, "must_be_exact": True}, False),
    ],
)
def test_float_rungs_may_round_at_an_edge_and_the_others_may_not(
    monkeypatch: pytest.MonkeyPatch, name: str, changed: dict[str, int], held: bool
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from ladder import holds

    plain = {"frames": 20, "codes": 2_000_000, "must_be_exact": False, **changed}
    assert holds(RungResult(name, **plain).record()) is held
