"""Training and evaluation mode of a network.

`nn.Module.train` assigns through `nn.Module.__setattr__`, module by module: with the hundreds of
modules that Brevitas makes of a small network that takes as long as several steps.
"""

from __future__ import annotations

from torch import nn


def set_mode(network: nn.Module, *, training: bool) -> None:
    """What `network.train(training)` does."""
    waiting = [network]
    while waiting:
        module = waiting.pop()
        kind = type(module)
        if kind.train is not nn.Module.train or kind.__setattr__ is not nn.Module.__setattr__:
            module.train(training)  # of its own kind, such as TorchScript's
            continue
        vars(module)["training"] = training
        waiting += [one for one in vars(module)["_modules"].values() if one is not None]
