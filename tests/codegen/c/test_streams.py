"""Layers that run row by row: every row once, none before its sources, and the same integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_networks import assert_exact, assert_exact_on_core
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import OPTIMIZE
from qdeploy.codegen.c.cores import CORES
from qdeploy.codegen.c.depth_first import unpacked
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.codegen.c.streaming import calls_of, readings, stream_of
from qdeploy.ir.integer_graph import IntegerGraph

WHOLE = replace(OPTIMIZE["ram"], streamed=False)


def ram(graph: IntegerGraph) -> Program:
    return program_of(graph, OPTIMIZE["ram"])


def chain(channels: int = 8, bits: int = 2, width: int = 16) -> GraphMaker:
    """Windows of every kind one after the other, with padding that differs on each side."""
    maker = GraphMaker(2, (3, 21, width), bits=8).conv(channels, weight_bits=8).threshold(bits=bits)
    maker.conv(channels, (3, 3), pads=(0, 1, 2, 1)).threshold(bits=bits).depthwise()
    maker.threshold(bits=bits).conv(channels, (3, 3), dilation=(2, 1), pads=(2, 1, 2, 1))
    maker.threshold(bits=bits).max_pool((2, 2), (2, 2))
    maker.conv(channels, (2, 3), stride=(3, 1), pads=(1, 1, 0, 1)).threshold(bits=bits)
    return maker.flatten().dense(4)


def residual(channels: int, size: int = 16) -> GraphMaker:
    """A bypass that is added three rows later, and one that goes through a convolution."""
    maker = GraphMaker(5, (3, size, size), bits=8).conv(channels, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.threshold(bits=8, base=-100)
    bypass = maker.mark()
    maker.back_to(first).conv(channels).threshold(bits=2).conv(channels)
    maker.threshold(bits=8, base=-127).add(bypass).threshold(bits=2)
    second = maker.mark()
    maker.conv(channels, (1, 1), pads=(0, 0, 0, 0), stride=(2, 2)).threshold(bits=8, base=-128)
    bypass = maker.mark()
    maker.back_to(second).conv(channels, stride=(2, 2)).threshold(bits=2).conv(channels)
    return maker.threshold(bits=8, base=-127).add(bypass).threshold(bits=2).flatten().dense(4)


@pytest.mark.parametrize("flags", [(), ("-O2", "-DQD_WIDE=1")])
@pytest.mark.parametrize(
    "maker", [chain(), chain(12, width=21), chain(8, 4), residual(8), residual(7)]
)
def test_streams_are_exact_and_take_less(
    maker: GraphMaker, flags: tuple[str, ...], tmp_path: Path
) -> None:
    program = assert_exact(maker.graph(), maker.frames(4), tmp_path, *flags, optimize="ram")
    assert program.streams
    assert any(stream.rings for stream in program.streams)
    assert program.memory.size < program_of(maker.graph(), WHOLE).memory.size


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m4"])
def test_streams_are_exact_on_a_bare_core(name: str, tmp_path: Path) -> None:
    maker = chain()
    measured = assert_exact_on_core(
        maker.graph(), maker.frames(2), tmp_path, CORES[name], OPTIMIZE["ram"]
    )
    assert measured.steps is not None and all(count > 0 for count in measured.steps)


def test_a_network_without_a_smaller_peak_has_no_streams() -> None:
    maker = GraphMaker(1, (3, 6, 6), bits=2).flatten().dense(40).threshold(bits=2).dense(4)
    assert not ram(maker.graph()).streams


def test_a_map_that_is_read_later_is_held_as_a_whole(tmp_path: Path) -> None:
    maker = GraphMaker(4, (3, 16, 16), bits=8).conv(8, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(4).threshold(bits=2).max_pool((16, 16), (16, 16)).conv(8, (1, 1), pads=(0,) * 4)
    maker.threshold(bits=2)
    one = maker.mark()
    maker.back_to(first).max_pool((16, 16), (16, 16)).add(one).flatten().dense(3)
    assert_exact(maker.graph(), maker.frames(3), tmp_path, optimize="ram")


@st.composite
def convolved(draw: st.DrawFn) -> IntegerGraph:
    """A few convolutions and pools of any window, stride and padding."""
    size = draw(st.integers(7, 14))
    maker = GraphMaker(draw(st.integers(0, 9)), (2, size, size), bits=2)
    for _ in range(draw(st.integers(2, 4))):
        height = maker.now.shape[1]
        if height < 4:
            break
        window, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        top, bottom = (draw(st.integers(0, window - 1)) for _ in range(2))
        side = min(3, maker.now.shape[2])
        maker.conv(4, (window, side), stride=(stride, 1), pads=(top, side // 2, bottom, side // 2))
        maker.threshold(bits=2)
    return maker.graph()


@settings(max_examples=60, deadline=None)
@given(graph=convolved(), band=st.integers(1, 4))
def test_rows_come_once_and_no_ring_loses_one_that_is_read(graph: IntegerGraph, band: int) -> None:
    """Each row of a ring is the one that a step reads there, at the time it reads it."""
    steps = program_of(graph).steps
    stream = stream_of(steps, 0, len(steps) - 1, band, graph.output)
    made = dict.fromkeys(range(len(steps)), 0)
    rings: dict[str, dict[int, int]] = {name: {} for name in stream.rings}
    numbers = {step.result.name: number for number, step in enumerate(steps)}
    for call in calls_of(steps, stream):
        step = steps[call.step]
        assert call.first == made[call.step] and call.rows > 0
        for reading in readings(step):
            name = reading.source.name
            for row in range(call.first, call.first + call.rows):
                begin = row * reading.stride - reading.top
                for y in range(max(0, begin), min(begin + reading.extent, reading.source.height)):
                    assert name == graph.input or y < made[numbers[name]]
                    assert name not in rings or rings[name][y % stream.rings[name]] == y
        if (ring := stream.rings.get(step.result.name)) is not None:
            assert call.first % ring + call.rows <= ring
            for y in range(call.first, call.first + call.rows):
                rings[step.result.name][y % ring] = y
        made[call.step] += call.rows
    assert all(made[number] == step.result.height for number, step in enumerate(steps))


def test_the_plan_says_what_streams_cost() -> None:
    from qdeploy.codegen.c.plan import plan_record

    program = ram(residual(8).graph())
    (record,) = plan_record(program, "network", "host", "ram")["streams"]
    (stream,) = program.streams
    assert record["first"] == stream.first and record["last"] == stream.last
    assert record["unpacked_weights"] == unpacked(program.steps, stream)
    assert record["unpacked_weights"] > record["weights"]
    assert {one["map"]: one["rows"] for one in record["rings"]} == dict(stream.rings)
    arena = program_of(program.graph, WHOLE).memory.size
    assert record["arena_without"] == arena > program.memory.size


def test_rows_of_a_graph_of_one_row_need_no_ring() -> None:
    maker = GraphMaker(1, (3, 1, 40), bits=2).conv(8, (1, 3), pads=(0, 1, 0, 1)).threshold(bits=2)
    maker.conv(8, (1, 3), pads=(0, 1, 0, 1)).threshold(bits=2).flatten().dense(3)
    program = ram(maker.graph())
    assert not any(stream.rings for stream in program.streams)
    assert np.prod(maker.graph().tensors[maker.graph().input].shape) == 120
