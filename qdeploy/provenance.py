"""What made an artefact: versions of the packages, git revision, Python and platform."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import qdeploy

PACKAGES = ("torch", "brevitas", "finn-plus", "qonnx", "onnx", "onnxruntime", "numpy")


def versions() -> dict[str, str]:
    """Versions of qdeploy, Python and the packages that define numbers; no heavy import."""
    found = {"qdeploy": qdeploy.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def git_revision() -> str | None:
    """Revision of the checkout qdeploy runs from (`-dirty` when changed), None outside of one."""
    root = Path(qdeploy.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def record() -> dict[str, object]:
    """Provenance to store beside an artefact."""
    return {"versions": versions(), "git": git_revision(), "platform": platform.platform()}
