"""qdeploy: from a recognition task to a proven low-bit accelerator on a small FPGA.

    quantize    a float `nn.Module` becomes a quantized one, for any training loop
    post_training  the same without training, from a few hundred frames
    train       a module and a torch Dataset through qdeploy's trainer
    export      a quantized module, a run or a file becomes a verified package
    verify      the ladder once more, on a build
    simulate    frames through a build: integers or RTL, with accuracy
    load        a build's network on a device, with one `run`

Each is loaded when it is used first: `import qdeploy` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qdeploy.version import __version__

if TYPE_CHECKING:
    from qdeploy.api.export import export as export
    from qdeploy.api.export import verify as verify
    from qdeploy.api.load import load as load
    from qdeploy.api.post_training import post_training as post_training
    from qdeploy.api.quantize import quantize as quantize
    from qdeploy.api.simulate import simulate as simulate
    from qdeploy.api.train import train as train

# Name -> the module that has it.
_FUNCTIONS = {
    "export": "qdeploy.api.export",
    "load": "qdeploy.api.load",
    "post_training": "qdeploy.api.post_training",
    "quantize": "qdeploy.api.quantize",
    "simulate": "qdeploy.api.simulate",
    "train": "qdeploy.api.train",
    "verify": "qdeploy.api.export",
}
# Modules that need no import of their own.
_MODULES = ("errors", "plugins")
__all__ = ["__version__", *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"qdeploy.{name}")
    if name not in _FUNCTIONS:
        raise AttributeError(f"module `qdeploy` has no attribute `{name}`")
    return getattr(importlib.import_module(_FUNCTIONS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS, *_MODULES})
