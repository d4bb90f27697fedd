"""Channels or features of the input with ranges of their own.

One scale for all of the input leaves a feature from 0 to 1 no code beside one from 0 to 1000. Each
channel c is multiplied by a power of two before the quantizer, and the weights that read it are
divided by it: in float32 both are exact, and the network stays the same bit for bit.

    W·x = (W·2^k)·(x·2^-k)        2^k_c >= largest |x_c|
"""

from __future__ import annotations

import copy
import operator

import torch
from torch import fx, nn

# Where the largest channel is not this much larger than the smallest one, one scale does.
RATIO = 4.0
FACTOR = "input_factor"


def with_channel_factors(module: fx.GraphModule, frames: torch.Tensor) -> fx.GraphModule:
    """A copy of the network with a factor for each channel of its input, where that is worth it and
    only convolutions and fully connected layers read the input; else the network itself.

    Args:
        module: as `to_torch.import_float` gives it.
        frames: (N, C, ...).
    """
    magnitudes = frames.abs().amax(dim=[axis for axis in range(frames.dim()) if axis != 1])
    used = magnitudes[magnitudes > 0]
    if len(used) < 2 or float(used.max() / used.min()) < RATIO:
        return module
    changed = copy.deepcopy(module)
    source = next(node for node in changed.graph.nodes if node.op == "placeholder")
    readers = list(source.users)
    layers = [_layer(changed, node) for node in readers]
    if not readers or None in layers:
        return module
    powers = torch.where(
        magnitudes > 0, torch.exp2(torch.log2(magnitudes).ceil()), torch.ones_like(magnitudes)
    )
    shape = (1, -1, *[1] * (frames.dim() - 2))
    changed.register_buffer(FACTOR, (1.0 / powers).reshape(shape))
    with torch.no_grad():
        for layer in layers:
            weight: torch.Tensor = layer.weight  # type: ignore[union-attr, assignment]
            weight.mul_(powers.reshape(1, -1, *[1] * (weight.dim() - 2)))
    with changed.graph.inserting_after(source):
        factor = changed.graph.get_attr(FACTOR)
    with changed.graph.inserting_after(factor):
        scaled = changed.graph.call_function(operator.mul, (source, factor))
    for node in readers:
        node.replace_input_with(source, scaled)
    changed.graph.lint()
    changed.recompile()
    return changed


def _layer(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, where each weight belongs to one channel of the input."""
    if node.op != "call_module":
        return None
    layer = module.get_submodule(str(node.target))
    plain = isinstance(layer, nn.Linear) or (
        isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.groups == 1
    )
    return layer if plain else None
