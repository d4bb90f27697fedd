"""Damaged files of every kind end in a message: no traceback, no hang, no fault of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import Kind, damaged
from damaged_kinds import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_damaged_files_end_in_a_message(kind: Kind, tmp_path: Path) -> None:
    outcome = damaged(kind, tmp_path, kind.count, "in every run")
    assert outcome.harms == []
    assert outcome.refused > kind.count // 20 or not kind.needed
