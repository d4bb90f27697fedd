"""Tables for a terminal, and the same tables as plain aligned text when the output is piped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cells: TypeAlias = Sequence[str]

_STYLES = {
    "ok": "green",
    "exact": "green",
    "yes": "green",
    "missing": "red",
    "wrong version": "red",
    "broken": "red",
    "DIFFERS": "bold red",
    "NO": "bold red",
}


def print_table(
    title: str,
    head: Cells,
    rows: Sequence[Cells],
    *,
    right: Collection[int] = (),
    console: Console,
) -> None:
    """Print a table with a title line above it and an empty line below.

    Args:
        title: what the table shows.
        head: column titles.
        rows: as many cells each as `head`.
        right: indices of the columns that hold numbers, aligned right.
        console: where to print.
    """
    if not console.is_terminal:
        console.file.write(plain_table(title, head, rows, right=right) + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(head):
        justify: Literal["left", "right"] = "right" if index in right else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()


def plain_table(
    title: str, head: Cells, rows: Sequence[Cells], *, right: Collection[int] = ()
) -> str:
    """The table as aligned text, two spaces between columns, nothing cut, wrapped or coloured."""
    lines = [head, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    text = [title]
    for line in lines:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(text) + "\n"
