"""Make `bench/RESULTS.md` from every file in `bench/results/`.

python bench/results_table.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record import RESULTS
from results_notes import NOTES, unmeasured

from qdeploy.artifacts import write_text

HEAD = ("network", "what", "value", "unit", "peer", "peer's value", "ratio", "measured")
TOP = """# Measurements

Made by `python bench/results_table.py` from `bench/results/`; do not edit by hand.
A ratio is our value over the peer's. What the peer is, each section says.

Every row has the date of its run and the commit that ran. Older rows did not record them: there,
`in` names the commit in which the row came into the repository or last changed, with its date;
machine and versions are those that its file named then; the command is one that makes such rows.
"""


def section(name: str, data: Mapping[str, Any]) -> str:
    """One bench: its peer, its runs, what has not been measured, the rows as a table."""
    runs, rows = data["runs"], data["rows"]
    missing = unmeasured(name, rows)
    lines = [
        f"## {name}",
        "",
        *([NOTES[name], ""] if name in NOTES else []),
        "Measured by",
        "",
        *commands(runs),
        "",
        *([f"Configured and not measured yet: {', '.join(missing)}.", ""] if missing else []),
        *(compared if any(row["peer"] for row in rows) else counted)(rows, runs),
    ]
    return "\n".join(lines) + "\n"


def commands(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per command, machine and set of versions, and when it ran."""
    found: dict[str, list[str]] = {}
    for run in runs:
        machine = run["machine"]
        versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
        times = found.setdefault(f"`{run['command']}`; {where}; {versions}", [])
        if when(run) not in times:
            times.append(when(run))
    return [f"- {what}: {', '.join(times)}." for what, times in found.items()]


def when(run: Mapping[str, Any]) -> str:
    """Date and short commit; `in`: the commit that brought the row, where the run noted none."""
    commit, dash, dirty = (run["commit"] or "unknown").partition("-")
    between = " in " if run.get("from_history") else " "
    return f"{run['date']}{between}{commit[:7]}{dash}{dirty}"


def compared(rows: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per comparison with a peer."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---:|---|---|---:|---:|---|"]
    for row in rows:
        cells = (
            row["network"],
            row["metric"],
            number(row["value"]),
            row["unit"],
            row["peer"] or "-",
            number(row["peer_value"]),
            number(row["ratio"]),
            when(runs[row["run"]]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def counted(rows: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per network and one column per figure, where there is no peer."""
    units = {row["metric"]: row["unit"] for row in rows}
    heads = [
        metric.replace("_", " ") + ("" if unit in metric else f", {unit}")
        for metric, unit in units.items()
    ]
    found: dict[str, dict[str, str]] = {}
    times: dict[str, dict[str, None]] = {}  # in order, each once
    for row in rows:
        found.setdefault(row["network"], {})[row["metric"]] = number(row["value"])
        times.setdefault(row["network"], {})[when(runs[row["run"]])] = None
    lines = [
        "| network | " + " | ".join(heads) + " | measured |",
        "|---|" + "---:|" * len(heads) + "---|",
    ]
    for network in sorted(found):
        cells = [found[network].get(metric, "-") for metric in units]
        lines.append("| " + " | ".join([network, *cells, ", ".join(times[network])]) + " |")
    return lines


def number(value: float | None) -> str:
    """Thousands separated, no more digits than were measured; `-` for what is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"


def table(folder: Path) -> str:
    """The whole document."""
    parts = [TOP]
    for path in sorted(folder.glob("*.json")):
        parts.append(section(path.stem, json.loads(path.read_text(encoding="utf-8"))))
    return "\n".join(parts)


def main() -> None:
    """Write RESULTS.md next to the results folder."""
    target = RESULTS.parent / "RESULTS.md"
    write_text(target, table(RESULTS))
    print(f"written: {target}")


if __name__ == "__main__":
    main()
