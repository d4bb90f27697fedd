"""Sizes from GNU ld's map are those that `size` counts in the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qdeploy.verify.map_file import FLASH, RAM, array_bytes, section_bytes

SOURCE = """
#include <stdint.h>
const uint8_t table[1000] = {1, 2, 3};
uint32_t filled[25] = {7};
static uint8_t a_long_name_that_takes_the_line_for_itself[333];
uint8_t unused[4096];
int start(int i) {
    a_long_name_that_takes_the_line_for_itself[i] = table[i];
    return (int)filled[i]++ + a_long_name_that_takes_the_line_for_itself[i + 1];
}
"""


def test_sections_and_arrays_have_the_bytes_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "one.c").write_text(SOURCE)
    flags = ("-mcpu=cortex-m4", "-mthumb", "-O1", "-nostdlib", "-fdata-sections")
    link = ("-Wl,--gc-sections", "-Wl,-e,start", "-Wl,-Map=map", "-o", "elf")
    command = ["arm-none-eabi-gcc", *flags, "one.c", *link]
    subprocess.run(command, cwd=tmp_path, check=True)
    size = ["arm-none-eabi-size", "elf"]
    table = subprocess.run(size, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(word) for word in table.splitlines()[1].split()[:3])
    found = (tmp_path / "map").read_text()
    assert section_bytes(found, FLASH) == text + data
    assert section_bytes(found, RAM) == data + bss
    assert array_bytes(found, "a_long_name_that_takes_the_line_for_itself") == 333
    with pytest.raises(ValueError, match="no array `other`"):
        array_bytes(found, "other")
