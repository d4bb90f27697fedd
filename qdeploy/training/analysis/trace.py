"""The layers of a network in execution order, and what each of them reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qdeploy.quant.quantizers import (
    code_range,
    is_quantized,
    tensor_quantizer,
    weight_level_quantizer,
)

FLOAT_BITS = 32
# Per pass through a network: 256 images of 64x64; all activations of a pass are held at once.
MOST_PIXELS = 256 * 64 * 64
# Modules after which a tensor still holds the codes of the quantizer before them; a pooled sum has
# more bits, but what the layer after it multiplies are still those activations.
TRANSPARENT = (nn.Flatten, nn.Identity, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class WeightLayer:
    """A convolution or fully connected layer.

    Args:
        name: in the network.
        layer: the module.
        norm: the batch norm that takes its output, None where something else does.
        weight_bits, input_bits: 32 for float.
        macs: multiply-accumulate operations per image.
    """

    name: str
    layer: nn.Conv2d | nn.Linear = field(repr=False)
    norm: nn.Module | None = field(repr=False)
    weight_bits: int
    input_bits: int
    macs: int

    @property
    def kind(self) -> str:
        """Such as `conv 3x3`, `depthwise 3x3` or `linear`."""
        if isinstance(self.layer, nn.Linear):
            return "linear"
        height, width = self.layer.kernel_size
        grouped = self.layer.groups > 1
        return f"{'depthwise' if grouped else 'conv'} {height}x{width}"

    def quantized_weight(self) -> torch.Tensor:
        """The weight the layer multiplies with, of the weight's shape."""
        if not is_quantized(self.layer):
            return self.layer.weight.detach()
        value: Any = self.layer.quant_weight()  # type: ignore[operator]
        return getattr(value, "value", value).detach()


def weight_layers(network: nn.Module, image: torch.Tensor) -> list[WeightLayer]:
    """All layers with weights, in execution order on `image`, (1, C, H, W)."""
    found: dict[str, tuple[nn.Conv2d | nn.Linear, int, int]] = {}
    norms: dict[str, nn.Module] = {}
    bits: dict[int, int] = {}
    makers: dict[int, str] = {}
    alive: list[torch.Tensor] = []  # so that no address is used twice

    def look(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        source = inputs[0]
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            found[name] = (module, bits.get(id(source), FLOAT_BITS), fan_in * output[0].numel())
            makers[id(output)] = name
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and id(source) in makers:
            norms[makers[id(source)]] = module
        elif hasattr(module, "act_quant"):
            bits[id(output)] = width(module.act_quant)
        elif isinstance(module, TRANSPARENT) and id(source) in bits:
            bits[id(output)] = bits[id(source)]
        alive.append(output)

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: look(name, m, i, o))
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm, *TRANSPARENT))
        or hasattr(module, "act_quant")
    ]
    with evaluating(network), torch.no_grad():
        try:
            network(image)
        finally:
            for handle in handles:
                handle.remove()
    return [
        WeightLayer(
            name,
            layer,
            norms.get(name),
            width(layer.weight_quant) if is_quantized(layer) else FLOAT_BITS,
            input_bits,
            macs,
        )
        for name, (layer, input_bits, macs) in found.items()
    ]


def activation_quantizers(network: nn.Module) -> dict[str, nn.Module]:
    """The learned activation quantizers' proxies by layer name, in the order of the network."""
    return {
        name: module.act_quant
        for name, module in network.named_modules()
        if hasattr(module, "act_quant") and any(True for _ in module.act_quant.parameters())
    }


def width(proxy: Any) -> int:
    """Bit width of a quantizer."""
    if code_range(proxy) == (-1, 1) and not hasattr(tensor_quantizer(proxy), "int_quant"):
        return 1
    levels = weight_level_quantizer(proxy)
    if levels is not None:
        return levels.code_bits
    return int(tensor_quantizer(proxy).msb_clamp_bit_width_impl().item())


def parts(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`images`, (N, C, H, W), in parts of at most 256, fewer where they are large."""
    pixels = images[0, 0].numel()
    return images.split(max(1, min(256, MOST_PIXELS // pixels)))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode inside, and afterwards in the mode it was in."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
