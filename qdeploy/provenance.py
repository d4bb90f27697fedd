"""What made an artefact: versions of the packages, git revision, Python and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from qdeploy.version import __version__

PACKAGES = ("torch", "brevitas", "finn-plus", "qonnx", "onnx", "onnxruntime", "numpy")


def versions() -> dict[str, str]:
    """Versions of qdeploy, Python and the packages that define numbers; no heavy import."""
    found = {"qdeploy": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def git_revision() -> str | None:
    """Revision of the checkout qdeploy runs from (`-dirty` when changed), None outside of one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def machine() -> dict[str, Any]:
    """The processor, its cores and the memory, as far as the system tells."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20
        ),
        "system": platform.platform(),
    }


def record() -> dict[str, object]:
    """Provenance to store beside an artefact."""
    return {"versions": versions(), "git": git_revision(), "machine": machine()}


def _first(file: str, key: str) -> str | None:
    """Value of the first `key: value` line of a file of /proc."""
    path = Path(file)
    if not path.exists():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
