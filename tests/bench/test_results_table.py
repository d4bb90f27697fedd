"""The page of measurements and the helpers that make its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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
    data = {
        "machine": {"processor": "P", "cores": 2, "memory_gib": 8, "system": "S"},
        "versions": {"qdeploy": "0.1.0"},
        "rows": [record.row("net", "speed", 123456.0, "frames/s", "peer", 2.5)],
    }
    (tmp_path / "simulators.json").write_text(json.dumps(data), encoding="utf-8")
    text = results_table.table(tmp_path)
    assert "## simulators" in text
    assert "| net | speed | 123,000 | frames/s | peer | 2.5 | 49,400 |" in text


def test_figures_without_a_peer_have_a_line_for_each_network(
    bench: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    record, results_table = bench
    figures = [("b", "rtl_frames", 20, "frames"), ("b", "rtl_mismatches", 0, "codes")]
    rows = [record.figure(*values) for values in [*figures, ("a", "rtl_frames", 5, "frames")]]
    data = {
        "machine": {"processor": "P", "cores": 2, "memory_gib": 8, "system": "S"},
        "versions": {"qdeploy": "0.1.0"},
        "rows": rows,
    }
    (tmp_path / "ladder.json").write_text(json.dumps(data), encoding="utf-8")
    lines = results_table.table(tmp_path).splitlines()
    assert lines[-4:] == [
        "| network | rtl frames | rtl mismatches, codes |",
        "|---|---:|---:|",
        "| a | 5 | - |",
        "| b | 20 | 0 |",
    ]


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
