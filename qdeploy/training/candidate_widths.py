"""One network at several widths of its layers: what mixed precision chooses from.

For every candidate width b there is the network with all chosen operands at b bits, quantized
directly from the float network. A mixture takes each operand with its scales from the network of
its width, so that no scale is searched for twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.errors import RecipeError, UserError, did_you_mean
from qdeploy.networks.fewer_channels import weight_shapes
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import SILENT, Observer
from qdeploy.quant.quantizers import code_range, is_quantized
from qdeploy.recipe.layer_widths import Operand, with_widths
from qdeploy.recipe.models import Recipe
from qdeploy.training.analysis.sensitivity import (
    Sensitivities,
    hessian_sensitivities,
    noise_sensitivities,
)
from qdeploy.training.analysis.trace import activation_quantizers, width
from qdeploy.training.batches import sample
from qdeploy.training.objective import task_loss
from qdeploy.training.quantize import quantized_from

Measure = Literal["noise", "hessian"]


@dataclass(frozen=True)
class CandidateWidths:
    """A network at several widths.

    Args:
        recipe: of the network; decides all other widths and how scales are chosen.
        float_network: trained, in evaluation mode.
        own: the recipe's width of each operand, in the order of the network.
        networks: bits -> the network with all operands at that width, in evaluation mode.
    """

    recipe: Recipe
    float_network: nn.Module = field(repr=False)
    own: Mapping[Operand, int]
    networks: Mapping[int, nn.Module] = field(repr=False)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """What gets a width."""
        return tuple(self.own)

    def mixed(self, widths: Mapping[Operand, int]) -> nn.Module:
        """The network with each operand at a width of its own, one of the candidates or the
        recipe's; quantized directly, in evaluation mode."""
        shapes = weight_shapes(self.float_network.state_dict())
        network = build_network(with_widths(self.recipe, widths), quantized=True, shapes=shapes)
        states = {bits: one.state_dict() for bits, one in self.networks.items()}
        state = dict(next(iter(states.values())))
        for operand, bits in widths.items():
            prefix = f"{operand.layer}."
            state |= {k: v for k, v in states[bits].items() if k.startswith(prefix)}
        network.load_state_dict(state)
        return network.eval()


def candidate_widths(
    recipe: Recipe,
    float_network: nn.Module,
    dataset: Dataset,
    candidates: Sequence[int],
    patterns: Sequence[str] = (),
    observer: Observer = SILENT,
) -> CandidateWidths:
    """The network of a recipe at each of the candidate widths.

    Args:
        float_network: trained.
        candidates: bits, 1 to 8 each.
        patterns: of names of layers whose widths are chosen; all of them when empty. Signed
            quantizers, which two branches share, keep the recipe's width.

    Raises:
        RecipeError: the recipe keeps weights or activations in float.
        UserError: a pattern matches no layer.
    """
    for key in ("weight_bits", "activation_bits"):
        if getattr(recipe.quantization, key) == "float":
            raise RecipeError(
                f"the recipe keeps {key.split('_')[0]}s in float, so their widths have no price",
                where=f"quantization.{key}",
                do="train a recipe with a number of bits there, or --set it",
            )
    own = _chosen(own_widths(build_network(recipe, quantized=True)), patterns)
    networks = {}
    for bits in observer.track(sorted({*candidates, *own.values()}), "quantize", unit="widths"):
        changed = with_widths(recipe, dict.fromkeys(own, bits))
        networks[bits] = quantized_from(changed, float_network, dataset).eval()
    return CandidateWidths(recipe, float_network.eval(), own, networks)


def own_widths(network: nn.Module) -> dict[Operand, int]:
    """Weights and unsigned activations of a quantized network, with their widths in bits."""
    quantizers = activation_quantizers(network)
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and is_quantized(module):
            found[Operand(name, "weight_bits")] = width(module.weight_quant)
        elif name in quantizers and code_range(quantizers[name])[0] >= 0:
            found[Operand(name, "activation_bits")] = width(quantizers[name])
    return found


def _chosen(own: Mapping[Operand, int], patterns: Sequence[str]) -> dict[Operand, int]:
    names = sorted({operand.layer for operand in own})
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"no layer with a width of its own has a name that matches `{pattern}`"
                f"{did_you_mean(pattern, names)}",
                where="--layers",
                why=f"there are: {', '.join(names)}",
                do="give a full name, or a pattern such as group1.*",
            )
    return {
        operand: bits
        for operand, bits in own.items()
        if not patterns or any(fnmatchcase(operand.layer, one) for one in patterns)
    }


def measured(
    candidates: CandidateWidths,
    dataset: Dataset,
    by: Measure,
    *,
    images: int = 512,
    probes: int = 16,
    seed: int = 0,
    observer: Observer = SILENT,
) -> Sensitivities:
    """The sensitivity of each operand at each width, in nats.

    Args:
        images: from the training set, as many as there are.
        probes: draws for `hessian`.
        seed: of images and draws.
    """
    generator = torch.Generator().manual_seed(seed)
    input_bits = candidates.recipe.quantization.input_bits
    inputs, labels = sample(dataset.train, input_bits, images, generator)
    network, networks = candidates.float_network, candidates.networks
    if by == "noise":
        return noise_sensitivities(network, networks, candidates.operands, inputs, observer)
    return hessian_sensitivities(
        network,
        networks,
        candidates.operands,
        inputs,
        labels,
        loss=partial(task_loss, dataset),
        probes=probes,
        seed=seed,
        observer=observer,
    )
