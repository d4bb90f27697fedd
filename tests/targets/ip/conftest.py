"""A small network as IP."""

from __future__ import annotations

from pathlib import Path

import pytest
from ip_packages import IpBuild


@pytest.fixture(scope="session")
def ip_build(tmp_path_factory: pytest.TempPathFactory) -> IpBuild:
    return IpBuild(tmp_path_factory.mktemp("toy-ip"))


@pytest.fixture
def package(ip_build: IpBuild, tmp_path: Path) -> Path:
    """A package below a folder with a space in its name."""
    return ip_build.package(tmp_path / "a place")
