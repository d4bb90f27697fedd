"""What GNU ld's map of a program says: bytes of its sections, and of single arrays in them."""

from __future__ import annotations

import re

# Sections of a program in flash, and in RAM; what has initial values is in both.
FLASH = (".text", ".rodata", ".srodata", ".ARM.exidx", ".ARM.extab", ".eh_frame", ".data", ".sdata")
RAM = (".data", ".sdata", ".bss", ".sbss")
# A name that leaves no room for its figures has them on the next line.
_OUTPUT = re.compile(r"^(\.[\w.]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)", re.MULTILINE)
_INPUT = r"^ {}\s+0x[0-9a-f]+\s+0x([0-9a-f]+)"


def section_bytes(text: str, names: tuple[str, ...]) -> int:
    """Bytes of the program's sections of these names."""
    return sum(int(size, 16) for name, size in _OUTPUT.findall(_linked(text)) if name in names)


def array_bytes(text: str, name: str) -> int:
    """Bytes of an array without initial values, compiled with -fdata-sections.

    Raises:
        ValueError: there is none of that name.
    """
    found = re.findall(_INPUT.format(re.escape(f".bss.{name}")), _linked(text), re.MULTILINE)
    if not found:
        raise ValueError(f"the map has no array `{name}`")
    return sum(int(size, 16) for size in found)


def _linked(text: str) -> str:
    """The part about what is in the program, not what was left out of it."""
    return text.partition("Linker script and memory map")[2]
