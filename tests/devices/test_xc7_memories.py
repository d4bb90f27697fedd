"""Which memories Yosys makes: the rules against what Yosys 0.23 made of the same memories."""

from __future__ import annotations

import pytest

from qdeploy.devices.xc7_memories import ram, rom

# (width, depth, style) -> RAMB18s, a RAMB36 counting two.
ROMS = [
    (3, 512, "auto", 0), (9, 513, "auto", 0), (9, 2048, "auto", 1), (16, 700, "auto", 1),
    (18, 512, "auto", 1), (19, 129, "auto", 0), (19, 128, "block", 1), (19, 4096, "block", 5),
    (33, 2048, "auto", 4), (37, 300, "auto", 0), (37, 1024, "block", 3), (37, 1100, "block", 4),
    (54, 1024, "auto", 3), (72, 1100, "auto", 6), (73, 4096, "block", 17), (100, 2048, "auto", 12),
    (144, 129, "auto", 0), (144, 513, "auto", 8), (300, 200, "auto", 0), (300, 1100, "auto", 25),
]  # fmt: skip
# (width, depth, style) -> LUTs as memory, RAMB18s.
RAMS = [
    (1, 200, "auto", 16, 0), (2, 700, "auto", 44, 0), (2, 2048, "auto", 0, 1),
    (3, 1024, "distributed", 64, 0), (7, 128, "auto", 24, 0), (7, 129, "auto", 36, 0),
    (7, 1100, "auto", 0, 1), (9, 2048, "distributed", 384, 0), (16, 129, "distributed", 60, 0),
    (18, 700, "auto", 0, 1), (18, 4096, "auto", 0, 4), (33, 512, "auto", 0, 1),
    (36, 513, "block", 0, 2), (37, 128, "distributed", 104, 0), (37, 2048, "auto", 0, 5),
    (54, 1100, "auto", 0, 5), (73, 1024, "distributed", 1600, 0), (100, 128, "auto", 0, 3),
    (150, 513, "auto", 0, 9), (300, 4096, "auto", 0, 68),
]  # fmt: skip


@pytest.mark.parametrize(("width", "depth", "style", "bram18"), ROMS)
def test_a_rom_takes_as_many_block_rams_as_yosys_makes(
    width: int, depth: int, style: str, bram18: int
) -> None:
    assert rom(width, depth, style).bram18 == bram18


@pytest.mark.parametrize(("width", "depth", "style", "lutram", "bram18"), RAMS)
def test_a_written_memory_takes_as_much_as_yosys_makes(
    width: int, depth: int, style: str, lutram: int, bram18: int
) -> None:
    mapped = ram(width, depth, style)
    assert (mapped.lutram, mapped.bram18) == (lutram, bram18)


def test_a_style_keeps_a_memory_out_of_block_ram() -> None:
    assert rom(36, 4096, "registers").bram18 == 0
    assert ram(36, 4096, "distributed").bram18 == 0


def test_a_narrower_memory_never_takes_more_block_rams() -> None:
    for depth in (64, 512, 1000, 4000):
        sizes = [rom(width, depth, "block").bram18 for width in range(1, 80)]
        assert sizes == sorted(sizes)
