"""L_Lip of networks side by side: `training.lipschitz` for weights (S, outputs, inputs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class GroupedLipschitz:
    """L_Lip of each of S networks.

    Args:
        weights: of the layers, (S, outputs, inputs); they stay the same tensors.
        inner: leave out the first and the last layer.
    """

    def __init__(self, weights: Sequence[torch.Tensor], *, inner: bool) -> None:
        self._weights = list(weights)[1:-1] if inner else list(weights)
        self._networks = weights[0].shape[0]

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """L_Lip, (S,)."""
        return self._sum([_excess(weight) for weight in self._weights])

    @torch.no_grad()
    def add_gradient(self, factor: float) -> torch.Tensor:
        """Add the gradient of `factor`·L_Lip to the weights' gradients.

        Returns:
            L_Lip, (S,).
        """
        excesses = [_excess(weight) for weight in self._weights]
        for weight, excess in zip(self._weights, excesses, strict=True):
            assert weight.grad is not None
            weight.grad.add_(_gradient(weight, excess), alpha=factor)
        return self._sum(excesses)

    @torch.no_grad()
    def shares(self, factor: float, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Norm of the gradient of `factor`·L_Lip, relative to that of all `gradients`, each
        (S, …), of a network: (S,); 0 where that is 0."""
        whole = _norms(gradients, self._networks)
        own = _norms([_gradient(w, _excess(w)) for w in self._weights], self._networks)
        return torch.where(whole > 0, factor * own / whole, torch.zeros(()))

    def _sum(self, excesses: Sequence[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros(self._networks)
        for weight, excess in zip(self._weights, excesses, strict=True):
            missing = max(0, weight.shape[1] - weight.shape[2])
            total += 0.5 * (excess.flatten(1).norm(dim=1).square() + missing)
        return total


def _excess(weight: torch.Tensor) -> torch.Tensor:
    wide = weight.shape[1] > weight.shape[2]
    gram = weight.mT @ weight if wide else weight @ weight.mT
    gram.diagonal(dim1=1, dim2=2).sub_(1)
    return gram


def _gradient(weight: torch.Tensor, excess: torch.Tensor) -> torch.Tensor:
    wide = weight.shape[1] > weight.shape[2]
    return (weight @ excess if wide else excess @ weight).mul_(2)


def _norms(tensors: Sequence[torch.Tensor], networks: int) -> torch.Tensor:
    squares = torch.zeros(networks)
    for one in tensors:
        squares += one.reshape(networks, -1).norm(dim=1).square()
    return squares.sqrt()
