"""From a quantized network to one with fewer bits, which training continues with.

weights                    kept in float
their steps                chosen anew, as `quantization.weight_init` says, where codes change
clips of activations       kept; a step is the clip over fewer codes
everything else            kept
scales that were not there where a layer was in float, from the weights, or from the activations
                           of the network as it was
"""

from __future__ import annotations

from typing import Any

from brevitas.proxy import ActQuantProxyFromInjector
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.errors import RecipeError
from qdeploy.networks.fewer_channels import weight_shapes
from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.quantizers import (
    code_range,
    is_binary,
    is_quantized,
    learned_thresholds,
    weight_level_quantizer,
)
from qdeploy.quant.starting_scales import set_activation_scales, set_weight_scales
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.order import QUANTIZING
from qdeploy.training.quantize import calibration_images, trainable

FLOAT = 1 << 32
LENGTHS = ".segments.lengths"


def recipe_during(recipe: Recipe, index: int) -> Recipe:
    """The recipe with the widths of phase number `index`."""
    return recipe.model_copy(update={"quantization": recipe.bits_of(index)})


def with_fewer_bits(recipe: Recipe, network: nn.Module, dataset: Dataset) -> nn.Module:
    """`network` quantized as `recipe` says, with at most as many bits as it has.

    Args:
        network: left alone; on the device that computes.
    """
    before = network.state_dict()
    made = trainable(recipe, quantized=True, shapes=weight_shapes(before))
    made = made.to(next(network.parameters()).device)
    fresh = made.state_dict()
    # Learned thresholds are as many as codes.
    same = {
        name for name, one in fresh.items() if name in before and one.shape == before[name].shape
    }
    state = {name: before[name] for name in fresh if name in same}
    # Whole: Brevitas resets the scales that a state does not have.
    made.load_state_dict({**fresh, **state})
    set_weight_scales(made, recipe.quantization)
    if any("act_quant" in name and name not in before for name in fresh):
        images, _ = calibration_images(dataset, recipe.seed, recipe.quantization.input_bits)
        device = next(network.parameters()).device
        set_activation_scales(made, network, images.to(device), recipe.quantization)
    # Once more, over scales that need not change.
    chosen = tuple(f"{name}.weight_quant." for name in _with_other_codes(network, made))
    kept = {name: value for name, value in state.items() if not name.startswith(chosen)}
    made.load_state_dict({**made.state_dict(), **kept})
    for name, module in made.named_modules():
        if isinstance(module, ActQuantProxyFromInjector) and module.is_quant_enabled:
            thresholds = learned_thresholds(module)
            own = [one for one in fresh if one.startswith(f"{name}.") and LENGTHS in one]
            if thresholds is not None and not same.issuperset(own):
                thresholds.segments.set_uniform(module.scale().detach())
    return made


def check_bits(recipe: Recipe) -> None:
    """Refuse, layer by layer, phases whose bits go up; what `Recipe` itself cannot see in patterns.

    Raises:
        RecipeError: names the layer; or as `build_network`.
    """
    if all(phase.quantization is None for phase in recipe.phases):
        return
    before: dict[str, int] = {}
    for index, phase in enumerate(recipe.phases):
        if phase.kind not in QUANTIZING:
            continue
        codes = _codes(build_network(recipe_during(recipe, index), quantized=True))
        for name, count in codes.items() if phase.kind == "finetune" else ():
            if count > before.get(name, FLOAT):
                raise RecipeError(
                    f"the phase `{phase.name}` has more bits in `{name}` than the phase before it",
                    where=f"phases.{phase.name}.quantization",
                    why="it continues with the network of that phase, and bits may only go down",
                    do="give the earlier phase as many bits, or this one fewer",
                )
        before = codes


def _with_other_codes(before: nn.Module, after: nn.Module) -> list[str]:
    """Names of the layers of `after` whose weights have other codes than in `before`."""
    old = dict(before.named_modules())
    return [
        name
        for name, layer in after.named_modules()
        if is_quantized(layer) and _range(layer) != _range(old[name])
    ]


def _range(layer: Any) -> tuple[bool, tuple[int, int]] | None:
    if not is_quantized(layer):
        return None
    return is_binary(layer.weight_quant), code_range(layer.weight_quant)


def _codes(network: nn.Module) -> dict[str, int]:
    """The number of codes of every layer's weights and of every activation, by name."""
    found = {}
    for name, module in network.named_modules():
        kind = "weight_quant" if hasattr(module, "weight_quant") else "act_quant"
        proxy = getattr(module, kind, None)
        if proxy is not None and bool(proxy.is_quant_enabled):
            lo, hi = code_range(proxy)
            found[name] = hi - lo + 1
            if kind == "weight_quant":
                levels = weight_level_quantizer(proxy)
                found[name] = 2 if is_binary(proxy) else found[name]
                found[name] = 2**levels.code_bits - 1 if levels is not None else found[name]
        elif isinstance(module, nn.Conv2d | nn.Linear | nn.ReLU | nn.Identity):
            found[name] = FLOAT
    return found
