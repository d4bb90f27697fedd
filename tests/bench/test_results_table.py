"""The page of measurements and the helpers that make its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import qdeploy

BENCH = Path(qdeploy.__file__).resolve().parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The modules `record` and `results_table`, imported as a bench script imports them."""
    monkeypatch.syspath_prepend(str(BENCH))
    import record
    import results_table

    return record, results_table


def test_row_holds_the_ratio_of_ours_over_the_peer(bench: tuple[ModuleType, ModuleType]) -> None:
    row = bench[0].row("net", "speed", 1500.0, "frames/s", "peer", 3.0)
    assert row["ratio"] == 500.0
    assert set(row) == {"network", "metric", "value", "unit", "peer", "peer_value", "ratio"}


RUN = {
    "date": "2026-01-02",
    "commit": "0123456789ab",
    "command": "python bench/simulators.py RUN BUILD",
    "machine": {"processor": "P", "cores": 2, "memory_gib": 8, "system": "S"},
    "versions": {"qdeploy": "0.1.0"},
}
OLD = {**RUN, "date": "2025-11-12", "commit": "ba9876543210", "from_history": True}


def data_of(*rows: dict[str, Any]) -> str:
    """A file of results whose runs are RUN and OLD."""
    heads = {key: RUN[key] for key in ("machine", "versions")}
    return json.dumps({**heads, "runs": [RUN, OLD], "rows": rows})


def test_rate_counts_the_frames_that_a_call_reports(bench: tuple[ModuleType, ModuleType]) -> None:
    calls: list[int] = []

    def run() -> int:
        calls.append(1)
        return 10

    found = bench[0].rates({"ten": run}, rounds=3, seconds=0.0)
    assert len(calls) == 1 + 3
    assert found["ten"] > 0


def test_table_has_a_line_for_each_row(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    record, results_table = bench
    row = record.row("net", "speed", 123456.0, "frames/s", "peer", 2.5)
    old = record.row("old", "speed", 1.0, "frames/s", "peer", 1.0)
    (tmp_path / "simulators.json").write_text(
        data_of({**row, "run": 0}, {**old, "run": 1}), encoding="utf-8"
    )
    text = results_table.table(tmp_path)
    assert "## simulators" in text
    assert "| net | speed | 123,000 | frames/s | peer | 2.5 | 49,400 | 2026-01-02 0123456 |" in text
    assert "| old | speed | 1 | frames/s | peer | 1 | 1 | 2025-11-12 in ba98765 |" in text
    # What was measured in one way is said once.
    assert (
        "\n- `python bench/simulators.py RUN BUILD`; P, 2 cores, 8 GiB; qdeploy 0.1.0: "
        "2026-01-02 0123456, 2025-11-12 in ba98765.\n" in text
    )


def test_figures_without_a_peer_have_a_line_for_each_network(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    record, results_table = bench
    figures = [("b", "rtl_frames", 20, "frames"), ("b", "rtl_mismatches", 0, "codes")]
    rows = [record.figure(*values) | {"run": run} for run, values in enumerate(figures)]
    rows.append(record.figure("a", "rtl_frames", 5, "frames") | {"run": 0})
    (tmp_path / "ladder.json").write_text(data_of(*rows), encoding="utf-8")
    lines = results_table.table(tmp_path).splitlines()
    assert lines[-4:] == [
        "| network | rtl frames | rtl mismatches, codes | measured |",
        "|---|---:|---:|---|",
        "| a | 5 | - | 2026-01-02 0123456 |",
        "| b | 20 | 0 | 2026-01-02 0123456, 2025-11-12 in ba98765 |",
    ]


def test_a_row_that_is_kept_keeps_the_run_that_made_it(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, _ = bench
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "this_run", lambda more: {**RUN, "versions": dict(more or {})})
    old, gone = (record.figure(name, "lut", 1, "lut") for name in ("old", "gone"))
    (tmp_path / "hardware.json").write_text(
        data_of({**gone, "run": 0}, {**old, "run": 1}), encoding="utf-8"
    )
    kept = [row for row in record.saved("hardware") if row["network"] == "old"]
    new = record.figure("new", "lut", 2, "lut")
    for _ in range(2):  # the same run adds to what it wrote, as a bench does network by network
        path = record.save("hardware", [*kept, new], {"tool": "2"})
        kept = [row for row in record.saved("hardware") if row["network"] == "old"]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["runs"] == [OLD, {**RUN, "versions": {"tool": "2"}}]
    assert [(row["network"], row["run"]) for row in found["rows"]] == [("old", 0), ("new", 1)]
    assert found["versions"] == {"tool": "2"}


def test_a_command_is_stored_without_folders_of_the_machine(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    from run_record import command

    typed = [str(BENCH / "x.py"), "--only", "a b*", str(tmp_path), f"--store={tmp_path}", "runs/a"]
    typed += ["--run", f"digits={tmp_path}"]
    name = tmp_path.name
    assert command(typed) == (
        f"python bench/x.py --only 'a b*' FOLDER/{name} --store=FOLDER/{name} runs/a "
        f"--run digits=FOLDER/{name}"
    )


def test_a_changed_page_leaves_the_commit_clean_and_changed_code_does_not(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import run_record

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        line = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.setattr(run_record, "ROOT", tmp_path)
    assert run_record.revision() is None
    (tmp_path / "bench/results").mkdir(parents=True)
    files = [tmp_path / name for name in ("bench/results/a.json", "page.md", "code.py")]
    for file in files:
        file.write_text("before", encoding="utf-8")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")[:12]
    found = []
    for file in files:
        file.write_text("after", encoding="utf-8")
        found.append(run_record.revision())
    assert found == [head, head, f"{head}-dirty"]


def test_designs_without_a_row_are_named_on_the_page(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    record, results_table = bench
    row = record.figure("resnet8-basic at 1,000/s", "lut", 1, "lut") | {"run": 0}
    (tmp_path / "cost_model.json").write_text(data_of(row), encoding="utf-8")
    (line,) = (
        line
        for line in results_table.table(tmp_path).splitlines()
        if line.startswith("Configured and not measured yet: ")
    )
    assert "resnet8-basic at 6,000/s" in line
    assert "resnet8-basic at 1,000/s" not in line


def test_every_committed_row_says_when_and_by_which_command_it_was_measured() -> None:
    for path in sorted((BENCH / "results").glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        for run in data["runs"]:
            assert run["date"] and run["commit"] and run["machine"] and run["versions"]
            assert run["command"].startswith(f"python bench/{path.stem}.py")
        assert {row["run"] for row in data["rows"]} == set(range(len(data["runs"])))


def test_committed_page_is_what_the_committed_results_give() -> None:
    code = (
        "from pathlib import Path\n"
        "from results_table import table\n"
        "from record import RESULTS\n"
        "page = (RESULTS.parent / 'RESULTS.md').read_text(encoding='utf-8')\n"
        "raise SystemExit(page != table(RESULTS))"
    )
    env = {"PYTHONPATH": f"{BENCH}:{BENCH.parent}"}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
