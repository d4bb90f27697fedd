"""Place and route of a build is refused before anything is done where it cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.build.options import Options
from qdeploy.build.steps.place import Place
from qdeploy.devices.boards import load_board
from qdeploy.devices.ecp5 import PROGRAM
from qdeploy.errors import ToolMissingError
from qdeploy.synth import nextpnr


def test_a_missing_nextpnr_is_named_with_its_package_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_board("pynq-z2")
    requested = Options(tmp_path / "network.onnx", place_and_route="ecp5")
    Place().check(requested, board)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nextpnr.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolMissingError, match=f"pip install {PROGRAM}"):
        Place().check(requested, board)
    Place().check(Options(tmp_path / "network.onnx"), board)
