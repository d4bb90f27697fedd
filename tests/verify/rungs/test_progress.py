"""Rungs that can tell how far they are tell all of it, and nobody has to listen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from random_graphs import small_convnet

from qdeploy.artifacts import write_json
from qdeploy.build_folder import C_FOLDER, C_PLAN_PATH, INT_FILE
from qdeploy.codegen.c.generate import DEFAULT_PREFIX, generate
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.observer import Observer
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import climb


class Counter:
    """A meter that keeps what it was told."""

    def __init__(self) -> None:
        self.done = 0.0

    def begin_at(self, done: float) -> None:
        self.done = done

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self.done += amount


def test_passes_of_the_integers_and_frames_in_c_are_counted_to_the_end(tmp_path: Path) -> None:
    maker = small_convnet()
    graph = maker.graph()
    emit_onnx(graph, tmp_path / INT_FILE)
    (tmp_path / C_FOLDER).mkdir()
    generate(program_of(graph), tmp_path / C_FOLDER, DEFAULT_PREFIX)
    write_json(tmp_path / C_PLAN_PATH, {"prefix": DEFAULT_PREFIX, "mcu": "host"})
    told: list[tuple[str, float | None, str, Counter]] = []

    @contextlib.contextmanager
    def meter(what: str, total: float | None, unit: str) -> Iterator[Counter]:
        told.append((what, total, unit, Counter()))
        yield told[-1][-1]

    inputs = LadderInputs(tmp_path, graph, None, maker.frames(6), tmp_path / "cache", rtl_frames=1)
    silent = climb(inputs, rungs=("int", "c"))
    heard = climb(replace(inputs, observer=Observer(meter=meter)), rungs=("int", "c"))
    assert heard == silent
    assert [(what, total, unit) for what, total, unit, _ in told] == [
        ("all frames, level by level", 9, "passes"),
        ("sanitized build", 6, "frames"),
        ("optimized build", 6, "frames"),
        ("native build", 6, "frames"),
    ]
    assert all(total == counter.done for _, total, _, counter in told)
