"""The manifest in its file: round trip, older files, and what contradicts itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdeploy.design.manifest import DESIGN_FILE, Connection, Design, End, Fifo, Layer, Stream
from qdeploy.errors import UserError

Change = Callable[[dict[str, Any]], object]


def two_layers() -> Design:
    """A FIFO, then a layer; the stream between them is watched."""
    return Design(
        name="small",
        top="small_top",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=["a_fifo.v", "a.v", "small_top.v"],
        memories=["mem/a_w.hex"],
        input=Stream("s_axis", "x", (2, 2, 3), 4, False, 3),
        output=Stream("m_axis", "y", (5,), 12, True, 1),
        taps=[Stream("tap0", "x", (2, 2, 3), 4, False, 3)],
        fifos=[Fifo("a_fifo", 4, 12, "a_fifo_fill", "a.0")],
        layers=[
            Layer("a_fifo", "a", "StreamingFIFO", "a_fifo", 4),
            Layer("a", "a", "MVAU", "a", 20, {"PE": 1, "SIMD": 3}, 60),
        ],
        streams=[
            Connection(0, 16, End("", "s_axis"), End("a_fifo", "in0")),
            Connection(1, 16, End("a_fifo", "out0"), End("a", "in0"), "tap0"),
            Connection(2, 16, End("a", "out0"), End("", "m_axis")),
        ],
    )


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    two_layers().save(tmp_path)
    assert Design.load(tmp_path) == two_layers()


def test_a_layers_ports_and_the_tap_of_a_stream_are_found() -> None:
    design = two_layers()
    assert {port: one.number for port, one in design.ports_of("a").items()} == {"in0": 1, "out0": 2}
    assert [design.tap_of(one) for one in design.streams] == [None, design.taps[0], None]


def test_a_file_without_streams_loads_and_what_needs_them_says_so(tmp_path: Path) -> None:
    data = dataclasses.asdict(two_layers())
    del data["streams"]
    (tmp_path / DESIGN_FILE).write_text(json.dumps(data), encoding="utf-8")
    design = Design.load(tmp_path)
    assert design.layers == two_layers().layers
    with pytest.raises(UserError, match="does not say how its layers are connected") as refused:
        design.ports_of("a")
    assert refused.value.do == "run `qdeploy export` again"


WRONG: list[tuple[Change, str]] = [
    (lambda data: data.pop("layers"), "lacks the key `layers`"),
    (lambda data: data.update(colour=1), "unknown key `colour`"),
    (lambda data: data.update(layers=3), "design.layers is not"),
    (lambda data: data.update(layers=[]), "no layers"),
    (lambda data: data["input"].update(bits="4"), "design.input.bits is not int"),
    (lambda data: data["input"].update(signed=1), "design.input.signed is not bool"),
    (lambda data: data["input"].update(bits=33), "`s_axis`: invalid shape"),
    (lambda data: data["input"].update(shape=[2, 0, 3]), "`s_axis`: invalid shape"),
    (lambda data: data["input"].update(per_beat=5), "the last beat of a frame is not full"),
    (lambda data: data["fifos"][0].update(depth=0), "a FIFO has no words"),
    (lambda data: data.update(sources=["../a.v"]), "not a path inside the folder"),
    (lambda data: data.update(memories=["/etc/passwd"]), "not a path inside the folder"),
    (lambda data: data["streams"].pop(0), "stream 0: invalid number or width"),
    (lambda data: data["streams"].pop(), "none goes to the output"),
    (lambda data: data["streams"][1].update(width=12), "stream 1: invalid number or width"),
    (lambda data: data["streams"][1]["sink"].update(module="b"), "a module that is no layer"),
    (lambda data: data["streams"][1].update(tap=None), "the taps are not those of the streams"),
    (lambda data: data["streams"][1]["source"].update(module="a"), "a port has two streams"),
]


@pytest.mark.parametrize(("change", "why"), WRONG)
def test_a_file_that_makes_no_sense_is_refused(change: Change, why: str, tmp_path: Path) -> None:
    data = json.loads(json.dumps(dataclasses.asdict(two_layers())))
    change(data)
    (tmp_path / DESIGN_FILE).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        Design.load(tmp_path)
    assert refused.value.why is not None and why in refused.value.why
