"""The page on post-training quantization: its code and its commands run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest

import qdeploy
from qdeploy.cli.main import qdeploy as commands
from qdeploy.cli.main import run

PAGE = Path(qdeploy.__file__).resolve().parent.parent / "docs" / "post-training.md"


def follow(*, slow: bool) -> None:
    """Run the page's blocks in their order, those that take minutes (`shell`) only if `slow`."""
    namespace: dict[str, Any] = {"__name__": "post_training_page"}
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    assert [kind for kind, _ in found] == ["python", "sh", "shell", "sh", "python"]
    for kind, block in found:
        if kind == "shell" and not slow:
            continue
        if kind == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(block, PAGE.name, "exec"), namespace)
        for line in block.splitlines() if kind != "python" else ():
            program, *words = shlex.split(line)
            assert (program, run(commands, words)) == ("qdeploy", 0), line


def test_the_page_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    follow(slow=False)
    shown = capsys.readouterr().out
    pairs = re.findall(r"accuracy: float ([0-9.]+)%, quantized ([0-9.]+)%", shown)
    assert len(pairs) == 3
    assert all(float(before) > 80 and float(after) > float(before) - 5 for before, after in pairs)
    (same,) = re.findall(r"same class: ([0-9.]+)%\n", shown)
    assert float(same) > 95


@pytest.mark.slow
def test_the_export_on_the_page_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow(slow=True)
    rungs = json.loads((tmp_path / "build" / "net" / "verify.json").read_text())["rungs"]
    exact = {one["name"]: one["mismatches"] for one in rungs if one.get("frames")}
    assert exact.keys() >= {"qonnx", "int", "dataflow", "rtl"} and set(exact.values()) == {0}
