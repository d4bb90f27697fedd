"""`qdeploy.load(build, device="pynq")` on a modelled board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import toy_core

import qdeploy


def test_the_network_on_the_board_gives_the_logits_of_the_core(
    toy_package: Path,
    board: fake_board.FakeBoard,
    bitstream: Path,
    load_driver: Callable[..., ModuleType],
) -> None:
    load_driver(toy_package, board)
    frames = toy_core.frames(6)
    network = qdeploy.load(toy_package.parent, device="pynq")
    found = network.run(frames)
    expected = toy_core.expected(frames)
    assert found.dtype == np.float64
    assert np.array_equal(found.argmax(1), expected.reshape(6, -1).argmax(1))
