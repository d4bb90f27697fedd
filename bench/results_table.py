"""Make `bench/RESULTS.md` from every file in `bench/results/`.

python bench/results_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from record import RESULTS

from qdeploy.artifacts import write_text

HEAD = ("network", "what", "value", "unit", "peer", "peer's value", "ratio")


def section(name: str, data: dict[str, Any]) -> str:
    """One bench: the machine and the versions it ran with, then its rows as a table."""
    machine, versions = data["machine"], data["versions"]
    lines = [
        f"## {name}",
        "",
        f"`python bench/{name}.py`, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB.",
        ", ".join(f"{package} {version}" for package, version in versions.items()) + ".",
        "",
        *(compared if any(row["peer"] for row in data["rows"]) else counted)(data["rows"]),
    ]
    return "\n".join(lines) + "\n"


def compared(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each comparison with a peer."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---:|---|---|---:|---:|"]
    for row in rows:
        cells = (
            row["network"],
            row["metric"],
            number(row["value"]),
            row["unit"],
            row["peer"] or "-",
            number(row["peer_value"]),
            number(row["ratio"]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def counted(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each network and a column for each figure, where there is no peer."""
    units = {row["metric"]: row["unit"] for row in rows}
    heads = [
        metric.replace("_", " ") + ("" if unit in metric else f", {unit}")
        for metric, unit in units.items()
    ]
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["network"], {})[row["metric"]] = number(row["value"])
    lines = ["| network | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for network in sorted(found):
        cells = [found[network].get(metric, "-") for metric in units]
        lines.append("| " + " | ".join([network, *cells]) + " |")
    return lines


def number(value: float | None) -> str:
    """Thousands separated, no more digits than were measured; `-` for what is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"


def table(folder: Path) -> str:
    """The whole document."""
    parts = [
        "# Measurements\n\n"
        "Made by `python bench/results_table.py` from `bench/results/`; do not edit by hand.\n"
        "A ratio is ours over the peer's, on the same machine in the same run.\n"
    ]
    for path in sorted(folder.glob("*.json")):
        parts.append(section(path.stem, json.loads(path.read_text(encoding="utf-8"))))
    return "\n".join(parts)


def main() -> None:
    """Write RESULTS.md beside the results folder."""
    target = RESULTS.parent / "RESULTS.md"
    write_text(target, table(RESULTS))
    print(f"written: {target}")


if __name__ == "__main__":
    main()
