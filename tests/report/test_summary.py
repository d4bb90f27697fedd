"""The summary after an export: every figure appears, and what is absent is said in its place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qdeploy.errors import UserError
from qdeploy.report.summary import print_summary, verdict
from qdeploy.report.tables import plain_table, print_table

RUNG = {
    "name": "rtl",
    "frames": 100,
    "boundaries": 9,
    "codes": 1_234_567,
    "mismatches": 0,
    "must_be_exact": True,
}
PERFORMANCE = {
    "clock_mhz": 100.0,
    "cycles_per_frame": 1_024,
    "latency_cycles": 3_333,
    "fps": 97_656.25,
    "source": "Verilator",
}
RESOURCES = {
    "board": "pynq-z2",
    "part": "xc7z020clg400-1",
    "lut": 5_320,
    "lutram": 100,
    "srl": 74,
    "ff": 2_128,
    "bram36": 14.5,
    "uram": 0,
    "dsp": 0,
    "available": {
        "lut": 53_200,
        "lutram": 17_400,
        "ff": 106_400,
        "bram36": 140,
        "uram": 0,
        "dsp": 220,
    },
    "fits": True,
    "source": "Yosys 0.23",
}


def _write(folder: Path, **files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def _shown(build: Path, run: Path | None = None) -> str:
    out = io.StringIO()
    print_summary(build, Console(file=out, width=60), run)
    return out.getvalue()


def _cells(text: str, first: str) -> list[str]:
    """The words of the line that starts with `first`."""
    return next(line.split() for line in text.splitlines() if line.strip().startswith(first))


def test_the_clock_of_another_part_is_said_with_the_layers_of_its_longest_path(
    tmp_path: Path,
) -> None:
    timing = {"part": "Lattice ECP5", "fmax_mhz": 107.8, "path_from": "stem", "path_to": "add"}
    text = _shown(_write(tmp_path / "b", performance=PERFORMANCE, timing=timing))
    assert "Lattice ECP5: 107.8 MHz; the longest path goes from stem to add." in text
    assert "The board's own clock stays assumed." in text
    assert "MHz;" not in _shown(_write(tmp_path / "c", performance=PERFORMANCE))


def test_every_figure_of_a_complete_build_is_shown(tmp_path: Path) -> None:
    build = _write(
        tmp_path / "b", verify={"rungs": [RUNG]}, resources=RESOURCES, performance=PERFORMANCE
    )
    phases = [{"name": "pretrain", "accuracy": 0.9778}, {"name": "retrain", "accuracy": 0.9611}]
    text = _shown(build, _write(tmp_path / "r", summary={"phases": phases}))
    assert _cells(text, "pretrain") == ["pretrain", "97.78%"]
    assert _cells(text, "retrain") == ["retrain", "96.11%"]
    assert _cells(text, "cycles per frame")[-1] == "1,024"
    assert _cells(text, "latency")[-1] == "3,333"
    assert _cells(text, "frames/s at 100 MHz, assumed")[-1] == "97,656"
    assert _cells(text, "LUT ") == ["LUT", "5,320", "53,200", "10.0%"]
    assert _cells(text, "LUT as memory")[-3:] == ["174", "17,400", "1.0%"]
    assert _cells(text, "BRAM36") == ["BRAM36", "14.5", "140", "10.4%"]
    assert _cells(text, "DSP") == ["DSP", "0", "220", "0.0%"]
    assert "URAM" not in text
    assert "it fits" in text
    assert _cells(text, "rtl") == ["rtl", "100", "9", "1,234,567", "0", "exact"]
    assert str(build) in text


def test_networks_that_decide_for_pixels_are_shown_with_their_miou(tmp_path: Path) -> None:
    build = _write(tmp_path / "b", verify={"rungs": [RUNG]})
    phases = [{"name": "float", "accuracy": 0.8262, "miou": 0.4106}]
    text = _shown(build, _write(tmp_path / "r", summary={"phases": phases}))
    assert _cells(text, "phase") == ["phase", "accuracy", "mIoU"]
    assert _cells(text, "float") == ["float", "82.62%", "41.06%"]


def test_skipped_rung_says_why(tmp_path: Path) -> None:
    reason = "`verilator` is not installed"
    skipped = {"name": "rtl", "frames": 0, "skipped": reason, "must_be_exact": True}
    text = _shown(_write(tmp_path / "b", verify={"rungs": [skipped]}))
    assert _cells(text, "rtl")[-1] == "skipped"
    assert f"rtl: skipped: {reason}" in text


def test_a_rung_whose_level_is_not_the_builds_says_why(tmp_path: Path) -> None:
    refused = {
        **RUNG,
        "codes": 0,
        "frames": 0,
        "refused": "the netlist is another",
        "passed": False,
    }
    text = _shown(_write(tmp_path / "b", verify={"rungs": [refused]}))
    assert _cells(text, "rtl")[-1] == "REFUSED"
    assert "rtl: the netlist is another" in text


def test_notes_of_the_lowering_are_shown(tmp_path: Path) -> None:
    note = "layer `fc`: its logits have a bias per channel"
    assert f"note: {note}" in _shown(_write(tmp_path / "b", build={"name": "n", "notes": [note]}))


def test_a_ladder_without_a_rung_that_ran_is_said_loudly(tmp_path: Path) -> None:
    left_out = {**RUNG, "frames": 0, "skipped": "left out on request"}
    assert "NO RUNG RAN" in _shown(_write(tmp_path / "b", verify={"rungs": [left_out]}))
    assert "NO RUNG" not in _shown(_write(tmp_path / "c", verify={"rungs": [RUNG, left_out]}))


def test_absent_files_are_said_in_their_place(tmp_path: Path) -> None:
    text = _shown(tmp_path / "nothing", tmp_path / "no run")
    for title in ("Accuracy", "Speed", "Resources", "Verification"):
        assert f"{title}: not measured in this build" in text


def test_stage_that_was_skipped_says_why(tmp_path: Path) -> None:
    build = _write(tmp_path / "b", resources={"skipped": "`yosys` is not installed"})
    assert "Resources: skipped: `yosys` is not installed" in _shown(build)


def test_design_that_does_not_fit_is_said_loudly(tmp_path: Path) -> None:
    text = _shown(_write(tmp_path / "b", resources={**RESOURCES, "fits": False}))
    assert "IT DOES NOT FIT" in text


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "exact"),
        ({"mismatches": 1}, "DIFFERS"),
        ({"mismatches": 1, "must_be_exact": False}, "tolerated"),
        ({"mismatches": 9, "must_be_exact": False, "passed": False}, "DIFFERS"),
        ({"mismatches": 0, "must_be_exact": False, "passed": False}, "DIFFERS"),
    ],
)
def test_verdict_follows_mismatches_and_what_the_rung_promises(
    changes: dict[str, Any], word: str
) -> None:
    assert verdict({**RUNG, **changes}) == word


def test_damaged_file_is_a_user_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "verify.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"verify\.json"):
        _shown(tmp_path)


def test_piped_table_is_plain_and_cuts_nothing() -> None:
    long = "x" * 200
    out = io.StringIO()
    print_table("title", ("a", "n"), [(long, "1")], right=(1,), console=Console(file=out, width=20))
    assert out.getvalue() == "title\n" + f"  {'a':<200}  n\n" + f"  {long}  1\n\n"


def test_numbers_of_a_plain_table_are_aligned_right() -> None:
    text = plain_table("t", ("name", "value"), [("a", "1"), ("b", "1,000")], right=(1,))
    assert text.splitlines()[2:] == ["  a         1", "  b     1,000"]


def test_terminal_table_keeps_every_cell() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    print_table("title", ("rung", "verdict"), [("rtl", "exact")], console=console)
    assert "rtl" in out.getvalue()
    assert "exact" in out.getvalue()


def test_coverage_is_a_column_of_the_ladder_and_a_table_by_kind(tmp_path: Path) -> None:
    rungs = [
        RUNG | {"coverage": {"weights": 0.1734, "thresholds": 0.0213, "beats": 1.0}},
        RUNG | {"name": "memories", "coverage": {"weights": 1.0, "thresholds": 1.0}},
        RUNG | {"name": "int"},
    ]
    text = _shown(_write(tmp_path / "b", verify={"rungs": rungs}))
    ladder, table = text.split("Coverage: ")
    assert _cells(ladder, "rung")[-2:] == ["coverage", "verdict"]
    assert _cells(ladder, "rtl")[-3:] == ["2.1%", "thresholds", "exact"]
    assert _cells(ladder, "memories")[-2:] == ["100.0%", "exact"]
    assert _cells(ladder, "int")[-2:] == ["-", "exact"]
    assert _cells(table, "rung") == ["rung", "weights", "thresholds", "beats"]
    assert _cells(table, "rtl") == ["rtl", "17.3%", "2.1%", "100.0%"]
    assert _cells(table, "memories") == ["memories", "100.0%", "100.0%", "-"]
    assert "int" not in table.split("Build folder")[0]


def test_coverage_of_some_of_the_frames_is_a_bound_and_never_rounded_to_all(
    tmp_path: Path,
) -> None:
    rung = RUNG | {
        "coverage": {"weights": 0.99996, "windows": 1.0},
        "details": {"single_faults": {"frames": 80}},
    }
    text = _shown(_write(tmp_path / "b", verify={"rungs": [rung]}))
    assert _cells(text.split("Coverage: ")[1], "rtl") == ["rtl", ">=99.9%", "100.0%"]
