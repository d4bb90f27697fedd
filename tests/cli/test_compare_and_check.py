"""`qdeploy compare` and `qdeploy check` on real builds of a small network."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from c_builds import make_c_build
from click.testing import CliRunner, Result
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.cli.check import check as check_command
from qdeploy.cli.compare import compare as compare_command
from qdeploy.errors import UserError
from qdeploy.report.checks import Limits, check_build, failed, read_baseline, write_baseline
from qdeploy.report.figures import measured

SMALL = ("network.width=8", "network.depth=1", "training.epochs=1")
LEFT_OUT = ("torch", "qonnx", "memories", "layer", "netlist")


class Made:
    """A run, its build, and one at a lower rate that was neither simulated nor synthesized."""

    def __init__(self, folder: Path) -> None:
        self.run = train_tiny(folder / "run", *SMALL)
        self.build = self._built(folder / "fast", 1e6)
        self.slow = self._built(folder / "slow", 1e5, "rtl")

    def _built(self, folder: Path, fps: float, *skip: str) -> Path:
        options = Options(
            self.run,
            fps=fps,
            frames=10,
            rtl_frames=2,
            skip=(*LEFT_OUT, *skip),
            synthesis=not skip,
            fifo_depths="analytic",
        )
        return build(options, folder).folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def checked(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(check_command, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def compared(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(compare_command, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_builds_and_runs_are_shown_side_by_side(made: Made) -> None:
    found = compared(made.build, made.slow, made.run)
    fast, slow, run = found["items"]
    assert (fast["kind"], run["kind"]) == ("build", "run")
    assert fast["accuracy"] == slow["accuracy"]
    assert fast["fps"] >= 1e6 and "fps" not in slow
    assert fast["lut"] > 0 and "lut" not in run
    assert (fast["exact"], run["exact"]) == (True, None)
    folding = found["layers"]["hidden1_fc_dense_mvau"]
    assert folding[0]["cycles"] < folding[1]["cycles"] and folding[2] is None
    assert found["options"]["fps"] == [1e6, 1e5, "-"]
    assert found["recipe"] == {}
    text = CliRunner().invoke(compare_command, [str(made.build), str(made.slow)]).output
    assert "Layers that differ" in text and "Recipes differ" not in text


def test_recipes_are_compared_key_by_key_with_their_defaults(made: Made, tmp_path: Path) -> None:
    words = [*SMALL, "phases.float.optimizer.lr=0.05", "quantization.weight_bits=3"]
    other = train_tiny(tmp_path / "other", *words)
    found = compared(made.run, other)["recipe"]
    assert found["phases.float.optimizer.lr"] == [0.1, 0.05]
    assert found["quantization.weight_bits"] == [2, 3]
    assert set(found) == {"name", "phases.float.optimizer.lr", "quantization.weight_bits"}


def test_operations_of_traced_modules_are_one_line(tmp_path: Path) -> None:
    for name, stride in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps({"name": name, "phases": []}))
        operations = [{"kind": "layer", "stride": stride}, {"kind": "relu"}]
        recipe = {
            "name": name,
            "network": {"type": "traced", "operations": operations, "output": "y", "weights": "0"},
            "data": {"name": "torch", "shape": [1, 4, 4], "class_names": ["a", "b"]},
            "phases": [
                {"name": kind, "kind": kind, "epochs": 1, "optimizer": {"lr": 0.1}}
                for kind in ("pretrain", "retrain")
            ],
        }
        (tmp_path / name / "recipe.yaml").write_text(json.dumps(recipe))
    found = compared(tmp_path / "one", tmp_path / "two")["recipe"]
    assert set(found) == {"name", "network.operations"}
    assert all(value.startswith("2, digest ") for value in found["network.operations"])


def test_what_cannot_be_compared_is_refused(made: Made, tmp_path: Path) -> None:
    assert CliRunner().invoke(compare_command, [str(made.run)]).exit_code == 2
    with pytest.raises(UserError, match="neither a finished run nor a build"):
        compared(made.run, tmp_path)


def test_a_build_within_its_limits_passes(made: Made) -> None:
    limits = ["--min-accuracy", "50%", "--max-lut", "20%", "--max-dsp", 0, "--min-fps", 1e6]
    done = checked(made.build, *limits, "--max-latency", 1000, "--max-ff", 5000)
    assert "all checks hold" in done.output


def test_missed_limits_exit_with_one_and_go_into_junit_and_markdown(
    made: Made, tmp_path: Path
) -> None:
    files = ["--junit", tmp_path / "j.xml", "--summary", tmp_path / "s.md"]
    words = ["--min-accuracy", "100%", "--max-lut", 10, "--min-fps", 5]
    data = json.loads(checked(made.build, *words, *files, "--json", code=1).stdout)
    wrong = {one["name"] for one in data["checks"] if one["passed"] is False}
    assert wrong == {"accuracy", "LUT"}
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    failures = {case.get("name") for case in suite if case.find("failure") is not None}
    skipped = {case.get("name") for case in suite if case.find("skipped") is not None}
    assert failures == wrong
    assert skipped >= {"rung torch", "rung netlist"}
    counts = [suite.get(key) for key in ("tests", "failures", "skipped")]
    assert counts == [str(len(suite)), "2", str(len(skipped))]
    page = (tmp_path / "s.md").read_text()
    assert f"2 of {len(suite)} checks FAILED" in page.partition("\n")[0]
    assert "| LUT | " in page and "missed by" in page


def test_a_limit_on_what_was_not_measured_is_missed(made: Made) -> None:
    done = checked(made.slow, "--min-fps", 1, "--max-lut", 9999, "--max-latency", 9, code=1)
    assert "the RTL was not simulated" in done.output
    assert "it was not synthesized" in done.output
    with pytest.raises(UserError, match="a share of the LUTs has no meaning"):
        checked(made.slow, "--max-lut", "20%")


def test_figures_of_other_tasks_and_targets_are_missed_where_there_are_none(made: Made) -> None:
    checked(made.build, "--min-balanced-accuracy", "50%")
    words = ["--min-balanced-accuracy", "100%", "--min-r2", 0.5, "--max-mae", 1, "--max-flash", 9]
    data = json.loads(checked(made.build, *words, "--max-ram", 9, "--json", code=1).stdout)
    wrong = {one["name"]: one["detail"] for one in data["checks"] if one["passed"] is False}
    assert "missed by" in wrong["balanced accuracy"]
    assert (
        "one without R²" in wrong["R²"] and "one without mean abs" in wrong["mean absolute error"]
    )
    assert "on no core" in wrong["flash, bytes"] and "on no core" in wrong["RAM, bytes"]


def test_predicted_numbers_and_networks_in_c_have_limits_and_baselines(tmp_path: Path) -> None:
    folder = make_c_build(tmp_path / "built")
    record = json.loads((folder / "build.json").read_text())
    record |= {"accuracy_int": None, "r2_int": 0.9, "mae_int": 2.0}
    (folder / "build.json").write_text(json.dumps(record))
    (folder / "classes.json").unlink()
    build, none = measured(folder), Limits({}, {})
    kept = Limits({"r2": 0.9}, {"mae": 2.0, "flash_bytes": 31_200, "ram_bytes": 3_000})
    assert not failed(check_build(build, kept))
    tight = Limits({"r2": 0.91}, {"mae": 1.9, "flash_bytes": 31_199, "ram_bytes": 2_999})
    wrong = [one.name for one in failed(check_build(build, tight))]
    assert wrong == ["R²", "mean absolute error", "flash, bytes", "RAM, bytes"]
    write_baseline(build, tmp_path / "baseline.json")
    worse = replace(build, figures=build.figures | {"r2": 0.88, "mae": 2.1, "ram_bytes": 3_100})
    baseline = read_baseline(tmp_path / "baseline.json", build)
    wrong = [one.name for one in failed(check_build(worse, none, baseline))]
    names = ("R²", "mean absolute error", "RAM, bytes")
    assert wrong == [f"{name} against the baseline" for name in names]
    assert not failed(check_build(worse, none, baseline, slack=0.06))


def test_a_baseline_holds_later_builds_with_some_slack(made: Made, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    checked(made.build, "--write-baseline", baseline)
    checked(made.build, "--against", baseline)
    data = json.loads(baseline.read_text())
    data["figures"]["lut"] = int(data["figures"]["lut"] * 0.95)
    data["figures"]["accuracy"] += 0.01
    baseline.write_text(json.dumps(data))
    done = checked(made.build, "--against", baseline, code=1)
    assert done.output.count("missed by") == 2
    checked(made.build, "--against", baseline, "--slack", "10%")
    # A rung that ran then has to run now.
    checked(made.slow, "--against", baseline, "--slack", "100%", code=1)


def test_a_failed_build_becomes_no_baseline(made: Made, tmp_path: Path) -> None:
    checked(made.build, "--max-lut", 1, "--write-baseline", tmp_path / "b.json", code=1)
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"network": {"input": [1, 8, 8], "layers": []}, "name": "cats"},
            "another network, `cats`",
        ),
        ({"board": "kv260"}, "is of kv260"),
        ({"version": 9}, "no baseline of version 1"),
        ({"figures": {"beauty": 3}}, "`beauty` is no figure"),
        ({"figures": {"lut": "many"}}, "cannot be read"),
    ],
)
def test_a_baseline_of_something_else_is_refused(
    made: Made, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    baseline = tmp_path / "baseline.json"
    checked(made.build, "--write-baseline", baseline)
    baseline.write_text(json.dumps(json.loads(baseline.read_text()) | change))
    with pytest.raises(UserError) as caught:
        checked(made.build, "--against", baseline)
    assert message in str(caught.value)


def test_files_that_were_changed_fail_whatever_they_say(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.build, folder)
    path = folder / "performance.json"
    path.write_text(path.read_text().replace('"fps": ', '"fps": 9'))
    assert "`performance.json`" in checked(folder, "--min-fps", 1, code=1).output


def test_mistakes_of_the_caller_exit_with_two(made: Made, tmp_path: Path) -> None:
    words = [str(made.build), "--min-accuracy", "high"]
    assert CliRunner().invoke(check_command, words).exit_code == 2
    for folder, message in ((made.run, "is a run, not a build"), (tmp_path, "neither")):
        with pytest.raises(UserError, match=message):
            checked(folder)
    with pytest.raises(UserError, match="cannot be read"):
        checked(made.build, "--against", tmp_path / "nothing.json")
