"""The shell's registers over their whole range of 4 KiB."""

from __future__ import annotations

import re
from pathlib import Path

import fake_board

ID, FRAMES = 0x00, 0x0C
FIRST = 0x51444550


def test_registers_are_not_repeated_within_the_range(board: fake_board.FakeBoard) -> None:
    board.module().Overlay("accelerator.bit")
    board.settings()
    board.write(FRAMES, 7)
    for step in (0x40, 0x100, 0x400, 0x800):
        board.write(step + FRAMES, 9)
        assert board.read(FRAMES) == 7
        assert (board.read(ID), board.read(step + ID), board.read(step + FRAMES)) == (FIRST, 0, 0)


def test_the_address_ports_span_the_range(toy_package: Path) -> None:
    for name in ("qd_shell.v", "qd_shell_regs.v"):
        text = (toy_package / "rtl" / name).read_text(encoding="utf-8")
        assert len(re.findall(r"\[11:0\]\s+s_axil_a[wr]addr", text)) == 2
