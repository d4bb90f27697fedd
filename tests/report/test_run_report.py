"""The report of a training run: finished, going on, without curves, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_builds import LONG, TAG, make_run
from tiny_runs import train_tiny

from qdeploy.cli.main import qdeploy, run
from qdeploy.errors import UserError
from qdeploy.report.curves import plots_of
from qdeploy.report.run_report import clock, is_run, read_run_report, render_run


def test_a_finished_run_has_phases_curves_recipe_and_provenance(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    text = render_run(read_run_report(folder), None)
    head = text.split("<main")[0]
    assert "Finished" in head and "3 phases, 24 epochs." in head
    assert "87.00%" in head and "2:03:04 h" in head and "88.00%" in head  # best on validation
    assert text.count('class="curve') == 3 + 1 + 1 + 1  # accuracy, loss, rate, Lipschitz
    assert text.count('class="phase"') == 4 * 2  # two lines between three phases
    assert "git revision" in text and "train 1295, test 360" in text
    assert TAG not in text and "&lt;script&gt;" in text


def test_curves_say_in_words_where_they_begin_and_end(tmp_path: Path) -> None:
    log = read_run_report(make_run(tmp_path / "run")).log
    assert log is not None
    accuracy, loss, *_ = plots_of(log)
    assert accuracy.names == ["training", "validation", "test"]
    told = "Accuracy over 24 epochs. Training: from 55 % to 90 %, least 55 %, most 90 %."
    assert accuracy.told.startswith(told)
    assert loss.told == "Loss over 24 epochs. Training: from 2 to 0.2, least 0.2, most 2."
    assert f'aria-label="{loss.told}"' in loss.svg


def test_points_lie_where_their_values_are_on_the_axes(tmp_path: Path) -> None:
    rows = [{"phase": "p", "epoch": at, "train_accuracy": at / 4} for at in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").touch()
    (plot,) = plots_of(read_run_report(tmp_path).log or [])
    line = plot.svg.split('class="curve c1" d="M')[1].split('"')[0]
    (x1, y1), (x2, y2), (x3, y3) = [tuple(map(float, at.split())) for at in line.split("L")]
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and x1 < x2
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2) and y1 > y2
    # The axis goes from 20 % to 80 % in steps of 20.
    grid = [
        float(part.split("H")[0].split()[-1]) for part in plot.svg.split('class="grid" d="')[1:]
    ]
    assert y2 == pytest.approx((grid[1] + grid[2]) / 2, abs=0.2)


def test_a_run_that_goes_on_says_how_far_it_is(tmp_path: Path) -> None:
    report = read_run_report(make_run(tmp_path / "run", finished=False))
    head = render_run(report, None).split("<main")[0]
    assert "Not finished" in head and "Phase finetune, epoch 8 of 8." in head
    assert [phase["name"] for phase in report.phases] == ["pretrain", TAG, "finetune"]
    assert report.seconds == 24 * 1.5


def test_a_run_without_curves_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    text = render_run(read_run_report(folder), None)
    assert "There is no metrics.jsonl: nothing was trained epoch by epoch here." in text
    assert 'class="curve' not in text and "87.00%" in text


def test_the_command_writes_the_page_of_a_trained_run_with_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_tiny(tmp_path / "run")
    capsys.readouterr()
    assert run(qdeploy, ["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert (folder / "report.html").read_text(encoding="utf-8").count('class="hit"') == 10
    assert "finetune" in shown and f"Report: {folder / 'report.html'}" in shown
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count('class="level"') >= 3
    assert run(qdeploy, ["report", str(folder), "--json", "--no-html"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["log"]) == sum(phase["epochs"] for phase in data["phases"])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metrics.jsonl", "{"),
        ("metrics.jsonl", '{"epoch": -1}\n'),
        ("metrics.jsonl", '{"loss": NaN}\n'),
        ("summary.json", '{"phases": [{"name": 3}]}'),
        ("summary.json", "["),
        (
            "summary.json",
            '{"by_class": {"classes": ["a"], "confusion": [[1]], "accuracy": 1.0, '
            '"balanced_accuracy": 1.0, "precision": [], "recall": [1.0], "f1": [1.0]}}',
        ),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(damage)
    assert run(qdeploy, ["report", str(folder)]) == 2
    told = capsys.readouterr().err
    assert f"`{name}` cannot be read" in told and "Traceback" not in told
    assert not (folder / "report.html").exists()


def test_a_folder_that_is_neither_build_nor_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_run(tmp_path)
    assert run(qdeploy, ["report", str(tmp_path)]) == 2
    assert "neither a build nor a run" in capsys.readouterr().err
    with pytest.raises(UserError, match="neither a build nor a run"):
        read_run_report(tmp_path / LONG)


def test_times_have_units() -> None:
    assert [clock(at) for at in (0.04, 59.4, 61, 7384)] == [
        "0.0 s",
        "59.4 s",
        "1:01 min",
        "2:03:04 h",
    ]
