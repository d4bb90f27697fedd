"""qdeploy: from a recognition task to a proven low-bit accelerator on a small FPGA.

    quantize    a float `nn.Module` becomes a quantized one, for any training loop

Each is loaded when it is used first: `import qdeploy` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qdeploy.version import __version__

if TYPE_CHECKING:
    from qdeploy.api.quantize import quantize as quantize

# Name -> the module that has it.
_FUNCTIONS = {
    "quantize": "qdeploy.api.quantize",
}
__all__ = ["__version__", *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module `qdeploy` has no attribute `{name}`")
    return getattr(importlib.import_module(_FUNCTIONS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})
