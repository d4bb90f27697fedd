"""The pages on one's own network and loop: their code runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import qdeploy

DOCS = Path(qdeploy.__file__).resolve().parent.parent / "docs"
LIGHTNING = "lightning"


def blocks(page: str) -> list[tuple[str, str]]:
    """Title and code of each block of Python."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r'```python(?: title="([^"]+)")?\n(.*?)```', text, flags=re.DOTALL)


def run(page: str) -> dict[str, Any]:
    """Run the blocks of a page without a title in one module, from a file, so that messages have
    its lines."""
    namespace: dict[str, Any] = {"__name__": page}
    chosen = [code for name, code in blocks(page) if not name]
    source = Path(page).with_suffix(".py").name.replace("-", "_")
    Path(source).write_text("\n\n".join(chosen), encoding="utf-8")
    exec(compile("\n\n".join(chosen), source, "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_the_page_on_ones_own_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("own-network.md")
    shown = capsys.readouterr().out
    (expected,) = re.findall(
        r"```text\n(.*?)```", (DOCS / "own-network.md").read_text(), flags=re.DOTALL
    )
    assert re.sub(r"\.py:\d+", ".py", expected) in re.sub(r"\.py:\d+", ".py", shown)
    assert "'rtl': 0" in shown and "'torch': 0" in shown
    assert re.search(r"\{'accuracy': 0\.\d+\}", shown)


def test_the_page_on_ones_own_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("own-loop.md")
    shown = capsys.readouterr().out
    assert "build/own" in shown
    assert found["accuracy"](found["quantized"]) > 0.85
    (exported,) = re.findall(r"\{'accuracy': (0\.\d+)\}", shown)
    assert float(exported) == pytest.approx(found["accuracy"](found["quantized"]), abs=0.005)


def test_the_example_for_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning", reason="the example for Lightning runs where it is installed")
    monkeypatch.chdir(tmp_path)
    setup, plain = [code for name, code in blocks("own-loop.md") if not name][:2]
    (example,) = [code for name, code in blocks("own-loop.md") if name == LIGHTNING]
    namespace: dict[str, Any] = {"__name__": "lightning_example"}
    # Up to the quantized network of the plain loop.
    for code in (setup, plain.partition("quantized = ")[0], example):
        exec(code, namespace)
    (reached,) = re.findall(r"Lightning, 2 bits ([0-9.]+)%", capsys.readouterr().out)
    assert float(reached) > 85


@pytest.mark.slow
def test_the_lines_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [code for _, code in blocks("../README.md")]
    frames = torch.rand(20, 16)
    namespace: dict[str, Any] = {"net": torch.nn.Linear(16, 3), "frames": frames}
    exec(code, namespace)
    assert namespace["logits"].shape == (20, 3)
    assert namespace["build"].folder == Path("build/linear-pynq-z2")
