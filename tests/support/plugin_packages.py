"""Packages from outside qdeploy, as an installer leaves them, for tests of entry points."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    entries: dict[str, dict[str, str]],
    modules: dict[str, str] | None = None,
) -> None:
    """Write a distribution into `folder` and put the folder on the path until the test's end.

    Args:
        package: name of the distribution.
        entries: group -> name -> `module:object`.
        modules: name -> source of its modules; the names have to differ from those of other tests,
            since an imported module stays.
    """
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = []
    for group, values in entries.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in values.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(folder))
