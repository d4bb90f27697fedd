"""What is said when a package of an extra that is not installed is needed."""

from __future__ import annotations

from qdeploy.errors import UserError

# Import name -> (package, the extra that brings it, what it is needed for).
_OF_EXTRAS = {
    "torch": ("torch", "train", "training, and networks of runs"),
    "brevitas": ("brevitas", "train", "training, and networks of runs"),
    "sklearn": ("scikit-learn", "train", "data sets"),
    "PIL": ("pillow", "train", "data sets of images"),
    "matplotlib": ("matplotlib", "train", "figures"),
    "finn": ("finn-plus", "fpga", "hardware layers, estimates and RTL"),
    "qonnx": ("qonnx", "fpga", "QONNX files"),
    "ortools": ("ortools", "fpga", "folding"),
    "psutil": ("psutil", "fpga", "hardware layers, estimates and RTL"),
}


class ExtraMissingError(UserError):
    """A command needs packages that the installation was made without."""


def missing_extra(error: ModuleNotFoundError) -> ExtraMissingError | None:
    """The refusal that a missing import stands for; None where it is a fault in qdeploy."""
    name = (error.name or "").partition(".")[0]
    if name not in _OF_EXTRAS:
        return None
    package, extra, purpose = _OF_EXTRAS[name]
    return ExtraMissingError(
        f"`{package}` is not installed",
        why=f"it is needed for {purpose}; this installation of qdeploy has no extra `{extra}`",
        do=f'in the folder of the sources: pip install ".[{extra}]"; from a wheel: '
        f'pip install "qdeploy-VERSION-py3-none-any.whl[{extra}]"',
    )
