"""Contracts of a design's layers, one after another, give what the integer graph gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from memory_designs import DESIGNS, stitched
from random_graphs import GraphMaker

from qdeploy.design.manifest import Design, End
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.layout import to_stream_order
from qdeploy.ir.reference import run_reference
from qdeploy.verify.units.contracts import as_stream, by_channel, contract
from qdeploy.verify.units.parameters import UnitKind, unit_parameters

FRAMES = 3


def through_contracts(design: Design, graph: IntegerGraph, frames: IntArray) -> dict[End, IntArray]:
    """(frames, elements) at every source of a stream."""
    first = to_stream_order(frames, frames=True).reshape(len(frames), -1)
    carried = {End("", design.input.name): first}
    waiting = list(design.layers)
    while waiting:
        ready = [
            layer
            for layer in waiting
            if all(
                one.source in carried
                for port, one in design.ports_of(layer.module).items()
                if port.startswith("in")
            )
        ]
        assert ready
        for layer in ready:
            waiting.remove(layer)
            ports = design.ports_of(layer.module)
            rule = contract(design, unit_parameters(design, graph, layer))
            ins = [carried[one.source] for port, one in ports.items() if port.startswith("in")]
            given = rule.apply(
                [x.reshape(-1, count) for x, count in zip(ins, rule.takes, strict=True)]
            )
            outs = [one for port, one in ports.items() if port.startswith("out")]
            for one, values in zip(outs, given, strict=True):
                carried[one.source] = values.reshape(len(frames), -1)
    return carried


@pytest.mark.parametrize("name", DESIGNS)
def test_contracts_one_after_another_are_the_network(name: str, tmp_path: Path) -> None:
    design, graph = stitched(name, tmp_path / "rtl")
    frames = _maker(name).frames(FRAMES)
    expected = run_reference(graph, frames)
    carried = through_contracts(design, graph, frames)
    compared = 0
    for one in design.connections():
        tap = design.tap_of(one)
        tensor = tap.tensor if tap else None
        if one.sink == End("", design.output.name):
            tensor = graph.output
        if tensor is not None:
            wanted = to_stream_order(expected[tensor], frames=True).reshape(FRAMES, -1)
            assert np.array_equal(carried[one.source], wanted), tensor
            compared += 1
    assert compared >= len(graph.boundaries())


def _maker(name: str) -> GraphMaker:
    maker = DESIGNS[name][0]()
    maker.graph()
    return maker


def test_channels_taken_apart_come_together_again() -> None:
    values = np.random.default_rng(0).integers(0, 9, (2, 6, 4))
    for lanes in (1, 2, 3, 6):
        assert np.array_equal(by_channel(as_stream(values, lanes), 6, lanes), values)
    # Two channels at a time: both at the first position, both at the second, then the others.
    assert as_stream(np.arange(8).reshape(1, 4, 2), 2).tolist() == [[0, 2, 1, 3, 4, 6, 5, 7]]


def test_a_layer_that_carries_another_number_of_elements_is_refused(tmp_path: Path) -> None:
    design, graph = stitched("uneven", tmp_path / "rtl")
    layer = next(
        one for one in design.layers if unit_parameters(design, graph, one).kind is UnitKind.MATRIX
    )
    streams = [
        replace(one, elements=one.elements + one.per_beat)
        if one.source.module == layer.module
        else one
        for one in design.connections()
    ]
    wrong = replace(design, streams=streams)
    with pytest.raises(PassError, match=f"layer `{layer.name}` carries"):
        contract(wrong, unit_parameters(wrong, graph, layer))
