"""What every measurement shares: timing on a noisy machine, and the file the result goes to."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qdeploy import provenance
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


def save(
    bench: str, rows: list[dict[str, Any]], more_versions: Mapping[str, str] | None = None
) -> Path:
    """Write `results/<bench>.json` with the machine and the versions, return its path.

    Args:
        more_versions: of programs that only this bench uses.
    """
    path = RESULTS / f"{bench}.json"
    versions = {**provenance.versions(), **(more_versions or {})}
    write_json(path, {"machine": machine(), "versions": versions, "rows": rows})
    return path


def machine() -> dict[str, Any]:
    """The processor, its cores and the memory, as far as the system tells."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20
        ),
        "system": platform.platform(),
    }


def _first(file: str, key: str) -> str | None:
    """Value of the first `key: value` line of a file of /proc."""
    path = Path(file)
    if not path.exists():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def rates(
    contenders: Mapping[str, Callable[[], int]], rounds: int, seconds: float
) -> dict[str, float]:
    """Frames per second of each contender: the median over `rounds` turns of `seconds` each.

    The contenders take turns, so that a change of the machine's load meets all of them. Each is
    called once before the clock runs.

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
