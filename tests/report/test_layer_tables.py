"""The report of a design: its figures follow from the build's files, on paper and on a screen."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from report_builds import LARGER_BOARDS
from rich.console import Console

from qdeploy.cli.report import report as command
from qdeploy.design.manifest import Design, Fifo, Layer, Stream
from qdeploy.errors import UserError
from qdeploy.report.design_report import read_report
from qdeploy.report.html import render, write_report
from qdeploy.report.layers import print_full, print_short
from qdeploy.report.summary import print_summary

LAYERS = [
    Layer(
        "conv_pad", "conv", "FMPadding", "conv_pad", 100, {"SIMD": 2}, part="windows and padding"
    ),
    Layer(
        "conv_mvau", "conv", "MVAU", "conv_mvau", 400, {"PE": 4, "SIMD": 8}, 12_800, "matrix units"
    ),
    Layer("head_fifo", "head", "StreamingFIFO", "head_fifo", 0, part="FIFOs"),
    Layer("head_mvau", "head", "MVAU", "head_mvau", 200, {"PE": 1, "SIMD": 2}, 400, "matrix units"),
]
FILES: dict[str, dict[str, Any]] = {
    "resources": {
        "lut": 1_000,
        "ff": 500,
        "bram36": 1.5,
        "dsp": 2,
        "available": {"lut": 53_200, "ff": 106_400, "bram36": 140, "dsp": 220},
        "fits": True,
        "source": "Yosys 0.23",
        "notes": ["memory was <short>"],
        "outside": {"lut": 50},
        "layers": [
            {"name": "conv_pad", "lut": 100, "ff": 10, "bram36": 0.0, "dsp": 0},
            {"name": "conv_mvau", "lut": 700, "ff": 300, "bram36": 1.5, "dsp": 0},
            {"name": "head_fifo", "lut": 60, "ff": 10, "bram36": 0.0, "dsp": 0},
            {"name": "head_mvau", "lut": 90, "ff": 180, "bram36": 0.0, "dsp": 2},
        ],
    },
    "performance": {"cycles_per_frame": 500, "latency_cycles": 900, "clock_mhz": 100.0},
    "verify": {
        "rungs": [
            {
                "name": "rtl",
                "frames": 20,
                "boundaries": 2,
                "codes": 400,
                "mismatches": 0,
                "details": {"fifo_high_water": {"head_fifo": 24}},
            },
            {"name": "netlist", "skipped": "`yosys` is not installed"},
        ]
    },
    "boards": LARGER_BOARDS,
    "estimates": {
        "layers": {
            "conv_mvau": {
                "qdeploy": {"lut": 720, "bram36": 1.5, "dsp": 0},
                "finn": {"lut": 1_234, "bram36": 2.0, "dsp": 8},
            },
            "head_mvau": {"qdeploy": {"lut": 91, "bram36": 0, "dsp": 2}, "finn": None},
        }
    },
    "build": {"versions": {"qdeploy": "0.1.0"}, "options": {"seed": 7, "source": "nowhere"}},
}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    (folder / "rtl").mkdir(parents=True)
    port = Stream("s_axis", "x", (4,), 8, False, 1)
    Design(
        name="net",
        top="net_top",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=[],
        memories=[],
        input=port,
        output=port,
        taps=[],
        fifos=[Fifo("head_fifo", 32, 8, "head_fifo_fill")],
        layers=LAYERS,
    ).save(folder / "rtl")
    for name, data in FILES.items():
        (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def shown(build: Path, *, full: bool) -> str:
    out = io.StringIO()
    (print_full if full else print_short)(read_report(build), Console(file=out, width=100))
    return out.getvalue()


def test_efficiency_is_useful_products_over_lanes_and_the_cycles_of_the_design(build: Path) -> None:
    found = read_report(build)
    conv, head = (row for row in found.layers if row.lanes)
    assert conv.lanes == 32
    assert conv.efficiency == 12_800 / (32 * 500)
    assert head.efficiency == 400 / (2 * 500)
    assert found.bottleneck is conv
    assert found.fps == 200_000
    assert found.lane_limit == pytest.approx(3_898, abs=1)
    assert found.lane_share == pytest.approx(13_200 / (500 * found.lane_limit))


def test_every_lut_is_in_one_part_of_the_design(build: Path) -> None:
    parts = read_report(build).parts
    assert parts == {
        "matrix units": 790,
        "windows and padding": 100,
        "FIFOs": 60,
        "wiring and TLAST": 50,
    }
    assert sum(parts.values()) == FILES["resources"]["lut"]


def test_design_of_an_older_build_counts_luts_by_operator(build: Path) -> None:
    file = build / "rtl" / "design.json"
    design = json.loads(file.read_text(encoding="utf-8"))
    for layer in design["layers"]:
        del layer["part"]
    file.write_text(json.dumps(design), encoding="utf-8")
    parts = read_report(build).parts
    assert parts == {"MVAU": 790, "FMPadding": 100, "StreamingFIFO": 60, "wiring and TLAST": 50}


def test_the_short_table_names_the_bottleneck_and_fits_100_columns(build: Path) -> None:
    text = shown(build, full=False)
    lines = text.splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= 100
    conv = next(line for line in table if "conv_mvau" in line)
    assert conv.split() == ["conv_mvau", "4", "8", "400", "32", "80%", "700", "1.5", "0", "slowest"]
    assert "bottleneck: conv_mvau; 500 cycles per frame (measured in RTL simulation)" in text
    assert "FIFOs (1)" in text


def test_the_full_report_has_both_estimates_fifos_and_larger_boards(build: Path) -> None:
    rows = [line.split() for line in shown(build, full=True).splitlines()]
    assert ["conv_mvau", "700", "720", "1,234", "1.5", "1.5", "2", "0", "0", "8"] in rows
    assert ["head_mvau", "90", "91", "-", "0", "0", "-", "2", "2", "-"] in rows
    # Depths were not simulated: what the RTL rung saw is what is known.
    assert ["head_fifo", "8", "-", "-", "32", "24", "75%"] in rows
    assert ["kv260", "150", "100", "1,500,000", "9,000", "4.5", "0", "input"] in rows


def test_fifos_sized_by_simulation_show_why_they_are_as_deep_as_they_are(build: Path) -> None:
    keys = ("name", "width", "analytic", "mark", "depth", "held")
    sized = [("head_fifo", 8, 96, 17, 32, 20), ("conv_fifo", 16, 44, 1, 0, 0)]
    fifos = {"fifos": [dict(zip(keys, one, strict=True)) for one in sized]}
    (build / "fifos.json").write_text(json.dumps(fifos), encoding="utf-8")
    rows = [line.split() for line in shown(build, full=True).splitlines()]
    # The most held with the depth chosen, in the runs that chose it, not the rung's 24.
    assert ["head_fifo", "8", "96", "17", "32", "20", "62%"] in rows
    assert ["conv_fifo", "16", "44", "1", "none", "-", "-"] in rows
    html = render(build, read_report(build))
    assert "20 of 32 words" in html
    assert "conv_fifo" not in html


def test_what_was_not_measured_is_said(build: Path) -> None:
    for name in FILES:
        (build / f"{name}.json").unlink()
    text = shown(build, full=True)
    assert "400 cycles per frame (expected, not simulated)" in text
    assert "Larger boards: not estimated in this build" in text
    html = render(build, read_report(build))
    assert html.count("Not measured in this build") == 1
    assert "Not verified in this build" in html


def test_a_board_without_a_larger_one_says_so(build: Path) -> None:
    note = "no known board is larger"
    (build / "boards.json").write_text(json.dumps({"boards": [], "note": note}), encoding="utf-8")
    assert f"Larger boards: {note}" in shown(build, full=True)
    assert note in render(build, read_report(build))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.bars = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        links = [str(value) for key, value in attrs if key in ("src", "href")]
        self.links += [link for link in links if not link.startswith("#")]
        self.bars += ("class", "name") in attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_html_report_is_one_whole_file_that_needs_nothing_else(build: Path) -> None:
    (build / "recipe.yaml").write_text("name: <net>\n", encoding="utf-8")
    text = write_report(build, read_report(build)).read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    # Three layers with cycles, four with LUTs, four parts, one FIFO.
    assert page.bars == 12
    assert "memory was &lt;short&gt;" in text
    assert "name: &lt;net&gt;" in text
    assert "skipped: `yosys` is not installed" in text
    assert "400 ◀ bottleneck" in text


def test_accuracy_is_shown_while_the_run_is_there(build: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    phases: dict[str, list[dict[str, Any]]] = {"phases": [{"name": "finetune", "accuracy": 0.9123}]}
    (run / "summary.json").write_text(json.dumps(phases), encoding="utf-8")
    (build / "build.json").write_text(json.dumps({"options": {"source": str(run)}}))
    assert "91.23%" in render(build, read_report(build))
    phases["phases"][0]["miou"] = 0.4106
    (run / "summary.json").write_text(json.dumps(phases), encoding="utf-8")
    data = {"options": {"source": str(run)}, "accuracy_int": 0.9111, "miou_int": 0.3999}
    (build / "build.json").write_text(json.dumps(data))
    text = render(build, read_report(build))
    assert all(figure in text for figure in ("mIoU", "41.06%", "91.11%", "39.99%"))


def test_classes_are_a_matrix_of_frames_and_a_sentence(build: Path) -> None:
    data = {
        "classes": ["cat", "<dog>", "owl", "elk"],  # no elks in the test set
        "confusion": [[8, 2, 0, 0], [1, 4, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]],
        "accuracy": 0.85,
        "balanced_accuracy": 0.8667,
        "precision": [0.889, 0.667, 1, 0],
        "recall": [0.8, 0.8, 1, 0],
        "f1": [0.842, 0.727, 1, 0],
    }
    path = build / "classes.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    text = render(build, read_report(build))
    page = _Page()
    page.feed(text)
    assert page.open == []
    told = (
        "balanced accuracy 86.67%; weakest class `{}` (F1 72.70%); most often mistaken: `cat` for "
        "`{}`, 2 of 10"
    )
    assert told.format("&lt;dog&gt;", "&lt;dog&gt;") in text
    assert (text.count('class="hit"'), text.count('class="miss"')) == (3, 2)
    assert shown_classes(build) == "Classes: " + told.format("<dog>", "<dog>")
    data["confusion"] = [[10, -1], [0, 1]]
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=r"classes\.json"):
        read_report(build)


def shown_classes(build: Path) -> str:
    """What an export prints of the classes."""
    console = Console(file=io.StringIO(), width=200)
    print_summary(build, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return next(line for line in lines if line.startswith("Classes"))


def test_the_command_prints_json_and_writes_the_report(build: Path) -> None:
    done = CliRunner().invoke(command, [str(build), "--json"], catch_exceptions=False)
    data = json.loads(done.output)
    assert data["layers"][1]["efficiency"] == 0.8
    assert (build / "report.html").exists()


def test_a_folder_that_is_no_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no complete design"):
        read_report(tmp_path)


def test_the_html_report_has_the_coverage_of_each_rung(build: Path) -> None:
    data = json.loads((build / "verify.json").read_text(encoding="utf-8"))
    data["rungs"][0]["coverage"] = {"weights": 0.1734, "beats": 1.0}
    (build / "verify.json").write_text(json.dumps(data), encoding="utf-8")
    html = render(build, read_report(build))
    assert 'data-label="weights">17.3%</td>' in html
    assert 'data-label="beats">100.0%</td></tr>' in html
    assert "netlist: skipped: `yosys` is not installed" in html
