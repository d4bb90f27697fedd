"""The term that limits the amplification of activation noise, eq. (8) of Boo et al. 2020.

    L_Lip = 1/2 · Σ_l ||W_lᵀ W_l - I||²

over all convolution and fully connected layers; the norm is the Frobenius norm, and kernels are
reshaped to (k·k·c_in, c_out), so that I has c_out rows. W_l is the float weight that retraining
updates: the paper distinguishes it from its quantized version W^q (eq. (2) to (4)), and eq. (8)
has W.

A grouped convolution, depthwise ones included, counts as the equivalent convolution without groups:
W_l has zeros where a group does not look, WᵀW is zero between groups, and the term is the sum over
the groups.

The non-zero eigenvalues of WᵀW and WWᵀ are the same. Where c_out is larger than the fan-in n, the
smaller matrix gives the same value up to a constant, 1 per missing zero eigenvalue:

    ||WᵀW - I||² = ||WWᵀ - I||² + (c_out - n)

Its gradient needs no automatic differentiation: with G the smaller of the two matrices less I,

    ∂L_Lip / ∂W_lᵀ = 2 · G W_lᵀ,  or  2 · W_lᵀ G
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class _Layer:
    """A layer's weights as the blocks of W_lᵀ.

    Args:
        weight: of a convolution or a fully connected layer, outputs first.
        groups: of the convolution.
    """

    name: str
    weight: torch.Tensor
    groups: int

    def blocks(self, values: torch.Tensor) -> torch.Tensor:
        """`values`, of the weights' shape, as (groups, c_out / groups, n), n the fan-in; the order
        inside a row does not matter to WᵀW. A view where memory allows it."""
        if values.dim() == 4:
            values = values.permute(0, 2, 3, 1)  # contiguous in the memory format of training
        return values.reshape(self.groups, values.shape[0] // self.groups, -1)

    def like_weight(self, blocks: torch.Tensor) -> torch.Tensor:
        """The inverse of `blocks`."""
        if self.weight.dim() == 2:
            return blocks.view(self.weight.shape)
        outputs, fan_in, *kernel = self.weight.shape
        return blocks.view(outputs, *kernel, fan_in).permute(0, 3, 1, 2)

    def excess(self, blocks: torch.Tensor) -> torch.Tensor:
        """G of each block."""
        wide = blocks.shape[1] > blocks.shape[2]
        gram = blocks.mT @ blocks if wide else blocks @ blocks.mT
        gram.diagonal(dim1=1, dim2=2).sub_(1)
        return gram

    @property
    def missing(self) -> int:
        """Number of zero eigenvalues that the smaller matrix does not have."""
        outputs = self.weight.shape[0]
        return max(0, outputs - self.groups * (self.weight.numel() // outputs))


class _Memory:
    """Products of a fully connected layer in memory that every step uses again; the same calls of
    the same products as `_Layer.excess` and `_gradient`, so the same bits.

    Args:
        layer: its weight lies in one piece, and stays where it is.
    """

    def __init__(self, layer: _Layer) -> None:
        self.layer = layer
        self._blocks = layer.blocks(layer.weight.detach())
        self._wide = self._blocks.shape[1] > self._blocks.shape[2]
        size = min(self._blocks.shape[1:])
        self.excess = self._blocks.new_empty(1, size, size)
        self.diagonal = self.excess.diagonal(dim1=1, dim2=2)
        self._product = torch.empty_like(self._blocks)
        self.product = layer.like_weight(self._product)
        rows, columns = self._blocks, self._blocks.mT
        self._factors = (columns, rows) if self._wide else (rows, columns)

    def multiply(self) -> None:
        """The smaller matrix, without I taken off."""
        torch.bmm(*self._factors, out=self.excess)

    def slope(self) -> None:
        """Half of the gradient, with I taken off."""
        factors = (self._blocks, self.excess) if self._wide else (self.excess, self._blocks)
        torch.bmm(*factors, out=self._product)

    @staticmethod
    def fits(layer: _Layer) -> bool:
        """Whether the layer is one that this computes."""
        weight = layer.weight
        return weight.dim() == 2 and weight.is_contiguous() and weight.device.type == "cpu"


class LipschitzTerm:
    """L_Lip of a network's weights, its layers listed once.

    Args:
        network: its parameters stay the same tensors.
        inner: leave out the first and the last layer.
    """

    def __init__(self, network: nn.Module, *, inner: bool = False) -> None:
        layers = [
            _Layer(name, module.weight, module.groups if isinstance(module, nn.Conv2d) else 1)
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        ]
        self._layers = layers[1:-1] if inner else layers
        missing = [float(layer.missing) for layer in self._layers]
        device = self._layers[0].weight.device if self._layers else None
        self._missing = torch.tensor(missing, device=device)
        # Where all layers are small the calls cost more than the products.
        small = all(map(_Memory.fits, self._layers))
        self._memory = [_Memory(layer) for layer in self._layers] if small else []

    @torch.no_grad()
    def by_layer(self) -> dict[str, float]:
        """What each layer adds, by its name, in the order of the network."""
        excesses = [layer.excess(layer.blocks(layer.weight)) for layer in self._layers]
        found = zip(self._layers, self._terms(excesses), strict=True)
        return {layer.name: term.item() for layer, term in found}

    @torch.no_grad()
    def value(self) -> float:
        """L_Lip."""
        excesses = [layer.excess(layer.blocks(layer.weight)) for layer in self._layers]
        return float(self._terms(excesses).sum())

    @torch.no_grad()
    def add_gradient(self, factor: float) -> torch.Tensor:
        """Add the gradient of `factor`·L_Lip to the weights' gradients, which are there already.

        Returns:
            L_Lip, a number on the weights' device.
        """
        if self._memory:
            return self._add_from_memory(factor)
        excesses = []
        for layer in self._layers:
            blocks = layer.blocks(layer.weight)
            excesses.append(layer.excess(blocks))
            _gradient_of(layer).add_(_gradient(layer, blocks, excesses[-1]), alpha=factor)
        return self._terms(excesses).sum()

    def _add_from_memory(self, factor: float) -> torch.Tensor:
        for one in self._memory:
            one.multiply()
        torch._foreach_sub_([one.diagonal for one in self._memory], 1)
        for one in self._memory:
            one.slope()
        gradients = [_gradient_of(layer) for layer in self._layers]
        # Doubling changes no bit but the exponent, wherever it is done.
        torch._foreach_add_(gradients, [one.product for one in self._memory], alpha=2 * factor)
        return self._terms([one.excess for one in self._memory]).sum()

    @torch.no_grad()
    def share(self, factor: float, parameters: list[nn.Parameter]) -> float:
        """Norm of the gradient of `factor`·L_Lip, relative to that of all gradients that the
        `parameters` have now; 0 where they have none."""
        given = [parameter.grad for parameter in parameters if parameter.grad is not None]
        whole = float(torch.nn.utils.get_total_norm(given))
        own = []
        for layer in self._layers:
            blocks = layer.blocks(layer.weight)
            own.append(_gradient(layer, blocks, layer.excess(blocks)))
        if not own or not whole > 0:
            return 0.0
        return factor * float(torch.nn.utils.get_total_norm(own)) / whole

    def _terms(self, excesses: list[torch.Tensor]) -> torch.Tensor:
        """What the layers add, in order."""
        if not excesses:
            return torch.zeros(0)
        squares = torch.stack(torch._foreach_norm(excesses)).square()
        return 0.5 * (squares + self._missing)


def _gradient(layer: _Layer, blocks: torch.Tensor, excess: torch.Tensor) -> torch.Tensor:
    """∂L_Lip by the layer's weight, in its shape."""
    wide = blocks.shape[1] > blocks.shape[2]
    product = blocks @ excess if wide else excess @ blocks
    return layer.like_weight(product.mul_(2))


def _gradient_of(layer: _Layer) -> torch.Tensor:
    if layer.weight.grad is None:
        layer.weight.grad = torch.zeros_like(layer.weight)
    return layer.weight.grad
