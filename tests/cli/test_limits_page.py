"""docs/limits.md: its commands run, in its order, and do what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doc_blocks import blocks, call, commands

PAGE = "limits.md"


def test_the_commands_of_the_page_before_its_build_run_as_written(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(blocks(PAGE, "yaml")[0])
    found = commands(PAGE)
    assert [words[0] for words in found] == [
        *("estimate", "sweep", "train", "sweep", "train", "export")
    ]
    said = []
    for words in found[:-1]:
        done = call(words, tmp_path)
        assert done.code == 0, done.err
        said.append(done)
    assert "fits: " in said[0].out
    assert (tmp_path / "sweep.svg").exists()
    swept = json.loads(said[3].out)
    assert (swept["gain"], [len(one.get("runs", [])) for one in swept["variants"]]) == (
        "accuracy",
        [1, 0],
    )
    assert "estimate for pynq-z1: fits: " in said[4].err


@pytest.mark.parametrize("command", ["estimate", "sweep", "train", "export"])
def test_a_limit_of_power_is_refused_with_the_reason(command: str, tmp_path: Path) -> None:
    done = call([command, "mine.yaml", "--max-power", "2.5"], tmp_path)
    assert done.code == 2
    assert "there is no estimate of a design's power" in done.err
    assert "in no data sheet" in done.err and "Traceback" not in done.err


@pytest.mark.slow
def test_its_build_keeps_to_the_budget_as_synthesis_counts(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(blocks(PAGE, "yaml")[0])
    for words in commands(PAGE)[-2:]:
        done = call(words, tmp_path)
        assert done.code == 0, done.err
    resources = json.loads((tmp_path / "build/mine-pynq-z1/resources.json").read_text())
    assert resources["allowed"] == {"lut": 4_256, "dsp": 0}
    assert resources["fits"]
    assert resources["lut"] <= 4_256
    assert resources["dsp"] == 0
