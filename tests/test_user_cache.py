"""Compiled code that serves all of a user's work lies where nobody else can write."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from qdeploy.user_cache import user_cache


def test_the_folder_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = user_cache("kernels")
    assert folder == tmp_path / "qdeploy/kernels"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    user_cache("shared").chmod(0o777)
    assert not user_cache("shared").is_relative_to(tmp_path)


def test_without_a_place_for_it_a_folder_of_the_process_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = user_cache("nowhere")
    assert folder.is_dir() and not folder.is_relative_to(tmp_path)
