"""Foldings are legal, fast enough and no larger than needed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker, small_convnet

from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.folding.infeasible import fitting_bits
from qdeploy.dataflow.folding.options import search_space
from qdeploy.dataflow.folding.solver import solve
from qdeploy.dataflow.rates import cycles_for
from qdeploy.devices.boards import load_board
from qdeploy.errors import DoesNotFitError, FoldingError, UserError

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


@pytest.fixture
def model():
    return hardware_layers(small_convnet().graph())


def slowest(model) -> int:
    return max(int(getCustomOp(node).get_exp_cycles()) for node in model.graph.node)


def test_every_option_divides_its_dimensions(model) -> None:
    for group in search_space(model, load_costs()).groups:
        node = next(node for node in model.graph.node if node.name == group.name)
        inst = getCustomOp(node)
        for option in group.options:
            if node.op_type.startswith("MVAU"):
                assert inst.get_nodeattr("MH") % option.attributes[node.name]["PE"] == 0
                assert inst.get_nodeattr("MW") % option.attributes[node.name]["SIMD"] == 0


@pytest.mark.parametrize("cycles", [700, 1500, 5000])
def test_a_target_is_met_by_every_layer(model, cycles: int) -> None:
    fold(model, BUDGET, cycles)
    assert slowest(model) <= cycles


def test_a_slower_target_takes_fewer_lanes(model) -> None:
    def lanes() -> int:
        units = [n for n in model.graph.node if n.op_type.startswith("MVAU")]
        return sum(
            getCustomOp(n).get_nodeattr("PE") * getCustomOp(n).get_nodeattr("SIMD") for n in units
        )

    fold(model, BUDGET, 700)
    fast = lanes()
    fold(model, BUDGET, 7000)
    assert lanes() < fast


def test_as_fast_as_fits_uses_a_larger_board_for_speed(model) -> None:
    fold(model, Budget(lut=3500, bram36=10, dsp=4))
    small = slowest(model)
    fold(model, BUDGET)
    assert slowest(model) < small


def test_a_pool_and_its_window_move_the_same_channels_a_beat(model) -> None:
    for cycles in (700, 2000, 9000):
        fold(model, BUDGET, cycles)
        by_kind = {
            node.name.rsplit("_", 1)[1]: node for node in model.graph.node if "pool2" in node.name
        }
        window, pool = getCustomOp(by_kind["window"]), getCustomOp(by_kind["pool"])
        assert window.get_nodeattr("SIMD") == pool.get_nodeattr("PE")


def test_an_impossible_rate_names_the_layer_and_its_best(model) -> None:
    with pytest.raises(FoldingError, match=r"cannot finish a frame within 3 cycles"):
        fold(model, BUDGET, 3)


def test_a_board_too_small_says_what_is_needed(model) -> None:
    with pytest.raises(FoldingError, match="not even the slowest folding") as caught:
        fold(model, Budget(lut=100, bram36=1, dsp=0))
    text = str(caught.value)
    assert re.search(r"about [\d,]+ of 100 LUTs \(80% = 80 are usable\), [\d.]+ times that", text)
    assert "biggest layers: " in text
    assert "estimated to fit on: aup-zu3" in text


def test_a_board_a_little_too_small_is_told_the_smallest_excess(model) -> None:
    """Just below the least board that holds some folding, the message is about that folding."""
    low, high = 100, 20_000
    while high - low > 200:
        middle = (low + high) // 2
        try:
            fold(model, Budget(lut=middle, bram36=0, dsp=0))
            high = middle
        except FoldingError:
            low = middle
    with pytest.raises(FoldingError) as caught:
        fold(model, Budget(lut=int(high * 0.95), bram36=0, dsp=0))
    ratio = float(re.search(r"([\d.]+) times that", str(caught.value))[1])
    assert 1.0 < ratio < 1.2


def test_a_folding_file_that_asks_for_too_much_is_named(model) -> None:
    name = next(node.name for node in model.graph.node if node.op_type.startswith("MVAU"))
    options = next(
        group.options for group in search_space(model, load_costs()).groups if group.name == name
    )
    most = max(options, key=lambda option: option.usage.lut).attributes[name]
    constraints = [
        FoldingConstraint(name, {key: most[key] for key in ("PE", "SIMD")}, "mine.yaml:3")
    ]
    small = Budget(lut=1600, bram36=10, dsp=4)
    fold(model, small)
    with pytest.raises(FoldingError, match=r"folding that `mine\.yaml` allows is") as caught:
        fold(model, small, constraints=constraints)
    assert caught.value.do == (
        "ask for less in `mine.yaml`: without it the design is estimated to fit"
    )
    slow = [FoldingConstraint(name, {"PE": 1, "SIMD": 1}, "mine.yaml:3")]
    with pytest.raises(FoldingError, match="cannot finish a frame within 700 cycles") as caught:
        fold(model, BUDGET, 700, constraints=slow)
    assert caught.value.do is not None and "ask for more of it in `mine.yaml`" in caught.value.do


def test_weights_of_fewer_bits_that_would_fit_are_named() -> None:
    maker = GraphMaker(4, (2, 6, 6)).conv(16, weight_bits=8).threshold().conv(8, weight_bits=8)
    wide = hardware_layers(maker.threshold().graph())
    found = search_space(wide, load_costs())
    least = solve(found.groups, found.edges, ResourceUsage(10**6, 10**6, 0, 0, 10**6), 10**9)
    bits = fitting_bits(wide, load_costs(), least, replace(least.usage, lut=least.usage.lut - 50))
    assert bits is not None
    assert 2 <= bits < 8
    # Narrower weights are looked at, not set.
    units = [getCustomOp(n) for n in wide.graph.node if n.op_type.startswith("MVAU")]
    assert [unit.get_nodeattr("weightDataType") for unit in units] == ["INT8", "INT8"]
    assert fitting_bits(wide, load_costs(), least, ResourceUsage(1, 1, 0, 0)) is None


def test_a_rate_far_beyond_the_board_is_refused_with_the_rate_that_fits(model) -> None:
    with pytest.raises(DoesNotFitError, match="biggest layers: ") as caught:
        fold(model, Budget(lut=1600, bram36=4, dsp=2), 150)
    assert "ask for at most one frame in" in str(caught.value)
    with pytest.raises(DoesNotFitError, match=r"ask for at most [\d,]+ frames/s"):
        fold(model, Budget(lut=1600, bram36=4, dsp=2), 150, clock_mhz=100.0)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 2e8])
def test_a_rate_that_is_no_rate_is_refused(fps: float) -> None:
    with pytest.raises(FoldingError, match="cannot be reached"):
        cycles_for(fps, 100.0)


def test_a_budget_is_kept_and_costs_speed(model) -> None:
    board = load_board("pynq-z1")
    fold(model, Budget.of(board))
    whole = slowest(model)
    kept = fold(model, Budget.of(board, {"lut": 3000, "bram36": 2, "dsp": 0})).solution
    used = kept.usage.used()
    assert (used["lut"] <= 3000, used["bram36"] <= 2, used["dsp"]) == (True, True, 0)
    assert slowest(model) > whole


def test_a_budget_nothing_fits_says_which_layers_and_what_would_suffice(model) -> None:
    board = load_board("pynq-z1")
    with pytest.raises(FoldingError, match="is estimated to fit the budget") as caught:
        fold(model, Budget.of(board, {"lut": 300}))
    error = caught.value
    assert error.where is not None and error.where.startswith("biggest layers: `")
    assert error.why is not None
    assert re.search(r"about [\d,]+ of 53,200 LUTs, where 300 are allowed, [\d.]+ times", error.why)
    needed = re.search(r"allow more: --max-lut (\d+) is estimated to suffice", error.do or "")
    assert needed is not None
    fold(model, Budget.of(board, {"lut": int(needed[1])}))


@pytest.mark.parametrize(
    ("most", "flag"), [({"lut": 50_000}, "lut"), ({"bram36": 140}, "bram"), ({"dsp": -1}, "dsp")]
)
def test_a_budget_beyond_the_board_is_refused(most: dict[str, int], flag: str) -> None:
    with pytest.raises(UserError, match="a design cannot have") as caught:
        Budget.of(load_board("pynq-z1"), most)
    assert caught.value.where == f"--max-{flag}"


def test_a_design_a_little_over_its_budget_at_a_rate_is_refused_at_once(tmp_path) -> None:
    graph, board = small_convnet().graph(), load_board("pynq-z1")
    most = {"bram36": 0, "dsp": 0}  # nothing else can take over
    free = compile_graph(graph, board, tmp_path / "rtl", fps=20_000, most=most)
    used = free.folding.solution.usage.lut
    with pytest.raises(DoesNotFitError, match="more than is allowed") as caught:
        tight = {**most, "lut": int(used * 0.8)}
        compile_graph(graph, board, tmp_path / "rtl", fps=20_000, most=tight)
    needed = re.search(r"allow more: --max-lut (\d+) .*; or ask for a", caught.value.do or "")
    assert needed is not None
    enough = {**most, "lut": int(needed[1])}
    compile_graph(graph, board, tmp_path / "rtl", fps=20_000, most=enough)
