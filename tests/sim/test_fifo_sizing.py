"""FIFO depths from simulation: the interval between frames stays, nothing deadlocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import Compiled, compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import DesignSimulator, simulate_design
from qdeploy.sim.errors import DeadlockError
from qdeploy.sim.fifo_sizing import Bounds, FifoSizer, Sizing, _Search, interval, rounded

FPS = 250_000.0


@dataclass
class Case:
    """A small residual network, compiled, and its design for sizing, built."""

    maker: GraphMaker
    compiled: Compiled
    design: Design
    simulator: DesignSimulator
    codes: np.ndarray

    def sizer(self) -> FifoSizer:
        bounds = {site.stream: Bounds(site.least, site.deep) for site in self.compiled.fifo_sites()}
        return FifoSizer(self.simulator, self.codes, bounds)

    def limits(self, depths: dict[str, int]) -> dict[str, int]:
        return {fifo.limit_port: depths[fifo.stream] for fifo in self.design.fifos}

    def deep(self) -> dict[str, int]:
        return {site.stream: site.deep for site in self.compiled.fifo_sites()}

    def ahead(self) -> str:
        """The stream that waits at the join for the other branch."""
        return max(self.compiled.fifo_sites(), key=lambda site: site.analytic).stream


def residual() -> GraphMaker:
    maker = GraphMaker(3, (2, 6, 7)).conv(4, weight_bits=4).threshold()
    start = maker.mark()
    shortcut = maker.threshold(bits=4, base=-8).mark()
    maker.back_to(start).conv(4).threshold().conv(4).threshold(bits=4, base=-8)
    return maker.add(shortcut).threshold().global_sum()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("residual")
    cache = Path(pytestconfig.cache.mkdir("simulators"))
    maker = residual()
    compiled = compile_graph(maker.graph(), load_board("pynq-z2"), folder / "rtl", fps=FPS)
    design = compiled.for_sizing(folder / "deep")
    simulator = simulate_design(folder / "deep", design, cache, optimize="-O0")
    yield Case(maker, compiled, design, simulator, maker.frames(4))


@pytest.fixture(scope="module")
def sizing(case: Case) -> Sizing:
    return case.sizer().size()


def test_the_interval_stays_with_less_than_the_lags_say(case: Case, sizing: Sizing) -> None:
    result = case.simulator.run(case.maker.frames(12), limits=case.limits(sizing.depths))
    assert interval(result) <= sizing.interval
    deep = case.simulator.run(case.maker.frames(12), limits=case.limits(case.deep()))
    assert interval(deep) == sizing.interval
    analytic = sum(site.analytic for site in case.compiled.fifo_sites())
    assert sum(sizing.depths.values()) < 0.6 * analytic


def test_the_marks_alone_hold_the_interval_with_a_source_that_is_always_ready(
    case: Case, sizing: Sizing
) -> None:
    depths = {stream: max(2, mark + 1) for stream, mark in sizing.marks.items()}
    result = case.simulator.run(case.maker.frames(12), limits=case.limits(depths))
    assert interval(result) <= sizing.interval


def test_codes_are_exact_at_the_depths_found_with_stalls_too(case: Case, sizing: Sizing) -> None:
    codes = case.maker.frames(5)
    graph = case.maker.graph()
    expected = run_reference(graph, codes)[graph.output]
    limits = case.limits(sizing.depths)
    for stall in (0.0, 0.3):
        found = case.simulator.run(codes, stall, stall, seed=2, limits=limits)
        np.testing.assert_array_equal(found.outputs, expected)


def test_each_depth_is_within_its_bounds(case: Case, sizing: Sizing) -> None:
    for site in case.compiled.fifo_sites():
        assert site.least <= sizing.depths[site.stream] <= site.deep
        assert sizing.marks[site.stream] < site.deep


def test_a_fifo_too_small_for_a_join_deadlocks_and_is_named(case: Case) -> None:
    depths = case.deep() | {case.ahead(): 2}
    port = next(fifo.fill_port for fifo in case.design.fifos if fifo.stream == case.ahead())
    with pytest.raises(DeadlockError) as caught:
        case.simulator.run(case.codes, limits=case.limits(depths))
    assert f"{port}: 2 (at most 2)" in str(caught.value.where)


def test_depths_too_small_are_repaired(case: Case, sizing: Sizing) -> None:
    start = {site.stream: site.least for site in case.compiled.fifo_sites()}
    most = 40 * sizing.interval
    search = _Search(case.sizer(), sizing.marks, sizing.interval, sizing.frames, most)
    assert not search.holds(start)
    repaired = search.repair(start)
    assert repaired[case.ahead()] > 2
    assert search.holds(repaired)


def test_depths_are_rounded_to_what_takes_no_more() -> None:
    found = [rounded(depth) for depth in (0, 1, 2, 3, 32, 33, 64, 65, 129)]
    assert found == [0, 2, 2, 32, 32, 64, 64, 128, 160]
