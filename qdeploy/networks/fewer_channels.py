"""Networks with fewer channels than their recipe says: what they are built from, and how the state
of a wider one becomes theirs.

The shapes of a network's weights say all about its channels, so a state can be loaded without
anything else being recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from qdeploy.networks.channels import Channels

WEIGHT = ".weight"
Shapes = dict[str, tuple[int, ...]]


def weight_shapes(state: Mapping[str, torch.Tensor]) -> Shapes:
    """Shapes of the weights of layers and norms in the state of a network, by name of the module.

    Args:
        state: as `state_dict` gives it.
    """
    return {
        name.removesuffix(WEIGHT): tuple(value.shape)
        for name, value in state.items()
        if name.endswith(WEIGHT) and value.numel() > 0
    }


def layer_channels(network: nn.Module) -> dict[str, list[int]]:
    """Inputs and outputs of each convolution and fully connected layer, by name, for people."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            found[name] = [module.in_channels, module.out_channels]
        elif isinstance(module, nn.Linear):
            found[name] = [module.in_features, module.out_features]
    return found


def narrow_norms(network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace the batch norms of `network` that have more channels than in `shapes`."""
    for name, module in list(network.named_modules()):
        count = shapes.get(name, (0,))[0]
        if isinstance(module, _BatchNorm) and 0 < count < module.num_features:
            parent = network.get_submodule(name.rpartition(".")[0])
            norm = type(module)(count, eps=module.eps, momentum=module.momentum)
            setattr(parent, name.rpartition(".")[2], norm)


def narrowed_shapes(channels: Channels, removed: torch.Tensor) -> Shapes:
    """Shapes of the weights of layers and norms after channels are gone.

    Args:
        channels: of the network.
        removed: bool (channels.count,).
    """
    kept = ~removed
    shapes: Shapes = {}
    for name, (inputs, outputs) in channels.layers.items():
        ins = 1 if name in channels.depthwise else int(kept[inputs].sum())
        shapes[name] = (int(kept[outputs].sum()), ins)
    shapes |= {name: (int(kept[own].sum()),) for name, own in channels.norms.items()}
    return shapes


def narrowed_state(
    channels: Channels,
    removed: torch.Tensor,
    state: Mapping[str, torch.Tensor],
    narrow: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """The state of the narrower network: what belongs to removed channels is left out.

    Args:
        channels: of the wide network.
        removed: bool (channels.count,).
        state: of the wide network.
        narrow: any state of the narrower one, for its names and shapes.
    """
    kept = ~removed.cpu()
    made = {}
    for name, fresh in narrow.items():
        value = state[name]
        for axis, own in enumerate(_axes(channels, name)):
            if axis < value.dim() and value.shape[axis] != fresh.shape[axis]:
                value = value.index_select(axis, kept[own].nonzero().flatten().to(value.device))
        made[name] = value
    return made


def _axes(channels: Channels, tensor: str) -> tuple[torch.Tensor, ...]:
    """The channels along the first axes of a tensor: outputs and inputs of its layer, or those of
    its norm."""
    name = tensor
    while name:
        name = name.rpartition(".")[0]
        if name in channels.layers:
            inputs, outputs = channels.layers[name]
            return outputs, inputs
        if name in channels.norms:
            return (channels.norms[name],)
    return ()
