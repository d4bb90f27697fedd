"""The bitstream's files, looked at before the FPGA gets them.

A .bit file starts with fields: two bytes of length and as many of content, first a constant one,
then `a` design, `b` part, `c` date, `d` time, each with its letter before it; `e` has four bytes of
length and then the configuration. So a file that was cut short on its way, is of another part, or
is no bitstream is told here, by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import AcceleratorError

MAX_HEADER = 4096


def check(path: Path, bundle: dict[str, Any]) -> None:
    """Check a .bit file and that its .hwh is beside it.

    Raises:
        AcceleratorError: one is missing, damaged, or for another part than the package's.
    """
    for needed in (path, path.with_suffix(".hwh")):
        if not needed.is_file():
            raise AcceleratorError(
                f"there is no {needed}; build it with `make bitstream` where Vivado is"
                " installed and copy the folder `bitstream` here"
            )
        if not needed.stat().st_size:
            raise AcceleratorError(f"{needed} is empty; copy the folder `bitstream` again")
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    try:
        fields, start, length = _fields(head)
    except (IndexError, ValueError) as error:
        raise AcceleratorError(f"{path} is no Xilinx bitstream (.bit)") from error
    size = path.stat().st_size
    if start + length != size:
        raise AcceleratorError(
            f"{path} has {size:,} bytes and should have {start + length:,}: it was cut short or"
            " damaged; copy the folder `bitstream` again"
        )
    part, found = str(bundle.get("part", "")), fields.get("b", "")
    if not _bare(found).startswith(_bare(part).split("-")[0]):
        raise AcceleratorError(
            f"{path} was built for the part {found}, this package is for {part};"
            " copy the folder `bitstream` that was built from this package"
        )


def _bare(part: str) -> str:
    """Headers of Zynq-7000 leave out the "xc" and the speed grade."""
    lower = part.lower()
    return lower[2:] if lower.startswith("xc") else lower


def _fields(head: bytes) -> tuple[dict[str, str], int, int]:
    """Fields by letter, where the configuration starts, and its length."""
    place = 2 + int.from_bytes(head[:2], "big")
    if place > 64 or head[place : place + 2] != b"\x00\x01":
        raise ValueError("not the start of a .bit file")
    place += 2
    fields: dict[str, str] = {}
    while True:
        letter = chr(head[place])
        if letter == "e":
            return fields, place + 5, int.from_bytes(head[place + 1 : place + 5], "big")
        if letter not in "abcd":
            raise ValueError(f"a field {letter!r}")
        length = int.from_bytes(head[place + 1 : place + 3], "big")
        value = head[place + 3 : place + 3 + length]
        if len(value) != length:
            raise ValueError("cut short")
        fields[letter] = value.rstrip(b"\x00").decode("ascii")
        place += 3 + length
