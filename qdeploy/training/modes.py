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
        if type(module).train is not nn.Module.train or "train" in vars(module):
            module.train(training)
            continue
        vars(module)["training"] = training
        waiting += [one for one in vars(module)["_modules"].values() if one is not None]
