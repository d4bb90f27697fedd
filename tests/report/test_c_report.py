"""The report of a build in C: its memory over time, and what was measured on a core."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from c_builds import MEASURED, make_c_build
from report_builds import TAG
from rich.console import Console

from qdeploy.cli.main import qdeploy, run
from qdeploy.errors import UserError
from qdeploy.report import memory_picture as picture
from qdeploy.report.c_report import print_c, read_c_report, render_c
from qdeploy.report.html import write_build_report
from qdeploy.report.summary import print_summary


def test_the_page_has_what_was_measured_and_escapes_names(tmp_path: Path) -> None:
    folder = make_c_build(tmp_path / "build")
    write_build_report(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    for figure in ("31,200 B", "3,000 B", "1,234,567", "1.607", "cortex-m4", "98.00%"):
        assert figure in text, figure
    assert "Exact on every level that ran" in text
    assert TAG not in text
    plan = read_c_report(folder).plan
    assert text.count('<g class="buffer') == len(plan["buffers"]) > 4
    assert all(step["layer"] in text for step in plan["steps"])
    assert all(f"{1000 + n:,}" in text for n, _ in enumerate(plan["steps"]))


def test_what_was_not_measured_is_said_on_the_page_and_on_the_terminal(tmp_path: Path) -> None:
    folder = make_c_build(tmp_path / "build", measured=False)
    report = read_c_report(folder)
    text = render_c(folder, report)
    assert "no core was run: name one with --mcu" in text
    said = io.StringIO()
    print_summary(folder, Console(file=said, width=100))
    assert "Flash and RAM: no core was run" in said.getvalue()
    assert f"arena {report.plan['arena']:,} bytes" in said.getvalue()
    assert "Resources" not in said.getvalue()


def test_the_price_of_layers_that_run_row_by_row_is_said(tmp_path: Path) -> None:
    folder = make_c_build(tmp_path / "build", optimize="ram")
    report = read_c_report(folder)
    (stream,) = report.plan["streams"]
    text = render_c(folder, report)
    said = io.StringIO()
    print_c(report, Console(file=said, width=100))
    for shown in (text, said.getvalue()):
        assert "run row by row, depth first" in shown
        assert f"{stream['unpacked_weights']:,} at a frame" in shown
        assert f"the arena would have {stream['arena_without']:,} bytes" in shown


def test_the_picture_has_every_buffer_where_and_when_it_lies(tmp_path: Path) -> None:
    plan = read_c_report(make_c_build(tmp_path / "build")).plan
    svg = picture.memory_svg(plan)
    boxes = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>', svg)
    assert len(boxes) == len(plan["buffers"])
    steps, wide = len(plan["steps"]), picture.WIDTH - picture.LEFT - picture.RIGHT
    scale = (picture.HEIGHT - picture.TOP - picture.BOTTOM) / plan["arena"]
    for one, box in zip(plan["buffers"], boxes, strict=True):
        x, y, width, height = map(float, box)
        assert x == pytest.approx(picture.LEFT + one["first"] * wide / steps, abs=0.1)
        assert width == pytest.approx((one["last"] + 1 - one["first"]) * wide / steps, abs=0.1)
        assert height == pytest.approx(one["bytes"] * scale, abs=0.1)
        below = picture.HEIGHT - picture.BOTTOM - y - height
        assert below == pytest.approx(one["offset"] * scale, abs=0.2)
    # Two that live at one time do not lie over one another.
    for at, one in enumerate(plan["buffers"]):
        for other in plan["buffers"][:at]:
            if one["first"] <= other["last"] and other["first"] <= one["last"]:
                below, above = sorted((one, other), key=lambda each: each["offset"])
                assert below["offset"] + below["bytes"] <= above["offset"]


def test_the_command_shows_the_steps_and_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_c_build(tmp_path / "build")
    assert run(qdeploy, ["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "memory in use, bytes" in shown and "1,234,567" in shown
    assert (folder / "report.html").is_file()
    assert run(qdeploy, ["report", str(folder), "--json", "--no-html"]) == 0
    data = json.loads(capsys.readouterr().out)
    details = data["verify"]["rungs"][2]["details"]
    assert {**details, **MEASURED} == details


@pytest.mark.parametrize("damage", ["{", "[]", '{"prefix": 3}', '{"arena": -1}'])
def test_a_damaged_plan_is_named(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_c_build(tmp_path / "build")
    (folder / "c/plan.json").write_text(damage)
    assert run(qdeploy, ["report", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "`plan.json` cannot be read" in told and "Traceback" not in told


def test_a_build_without_c_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no C sources"):
        read_c_report(tmp_path)
