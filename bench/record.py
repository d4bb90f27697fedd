"""What every measurement shares: timing on a noisy machine, and the file the result goes to."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from run_record import this_run

from qdeploy.artifacts import write_json

RESULTS = Path(__file__).resolve().parent / "results"


def row(
    network: str, metric: str, value: float, unit: str, peer: str, peer_value: float
) -> dict[str, Any]:
    """One comparison; the ratio is ours over the peer's."""
    return {
        "network": network,
        "metric": metric,
        "value": rounded(value),
        "unit": unit,
        "peer": peer,
        "peer_value": rounded(peer_value),
        "ratio": rounded(value / peer_value),
    }


def figure(network: str, metric: str, value: float, unit: str) -> dict[str, Any]:
    """A count with no peer to compare it with; kept to the last digit."""
    return {
        "network": network,
        "metric": metric,
        "value": value,
        "unit": unit,
        "peer": None,
        "peer_value": None,
        "ratio": None,
    }


def rounded(value: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{value:.3g}")


def saved(bench: str) -> list[dict[str, Any]]:
    """Rows of earlier runs; those passed to `save` again keep their run."""
    return _read(bench)["rows"]


def save(
    bench: str, rows: list[dict[str, Any]], more_versions: Mapping[str, str] | None = None
) -> Path:
    """Write `results/<bench>.json` and return its path.

    Each row names the run that made it by its index in `runs` (see run_record.py); rows without one
    belong to this run. `machine` and `versions` are those of this run.

    Args:
        rows: new ones, and those of `saved` to keep.
        more_versions: of programs that only this bench uses.
    """
    this, known = this_run(more_versions), _read(bench)["runs"]
    runs: list[dict[str, Any]] = []
    marked = []
    for item in rows:
        run = known[item["run"]] if "run" in item else this
        if run not in runs:
            runs.append(run)
        marked.append({**item, "run": runs.index(run)})
    path = RESULTS / f"{bench}.json"
    heads = {key: this[key] for key in ("machine", "versions")}
    write_json(path, {**heads, "runs": runs, "rows": marked})
    return path


def _read(bench: str) -> dict[str, Any]:
    path = RESULTS / f"{bench}.json"
    if not path.exists():
        return {"runs": [], "rows": []}
    return json.loads(path.read_text(encoding="utf-8"))


def rates(
    contenders: Mapping[str, Callable[[], int]], rounds: int, seconds: float
) -> dict[str, float]:
    """Frames per second of each contender: the median over `rounds` turns of `seconds` each.

    The contenders take turns, so that a change of the machine's load affects all of them. Each is
    called once before timing starts.

    Args:
        contenders: name -> function that computes some frames and returns how many.
    """
    for run in contenders.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            frames, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < seconds or not frames:
                frames += run()
            found[name].append(frames / passed)
    return {name: statistics.median(values) for name, values in found.items()}
