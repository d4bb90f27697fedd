"""Modules that are operations of their own, whatever is in their `forward`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from qdeploy.tracing.chains import Chain, RefusedError, Shape, check_weight
from qdeploy.tracing.enlarge import shuffled, transposed, upsampling
from qdeploy.tracing.modules import AsSeries, DropPath
from qdeploy.tracing.operations import Kind
from qdeploy.tracing.pools import average, fixed_average

# Modules of other packages, by the names of their classes: they are the identity in evaluation.
_DROPPING = frozenset({"DropPath", "StochasticDepth"})
# Batch norm with an activation (timm).
_NORM_AND_ACT = "BatchNormAct2d"


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one node of the graph."""
    if type(module).__name__ in (*_DROPPING, _NORM_AND_ACT):
        return True
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return type(module).__module__.startswith("torch.nn.modules") or _base(module) is not None


def chain_of(module: nn.Module, given: Shape, made: Shape) -> Chain:
    """The operations that a leaf is.

    Args:
        given, made: shapes of its input and its result, without the axis of frames.

    Raises:
        RefusedError: it cannot be quantized.
    """
    name = type(module).__name__
    if name in _DROPPING:
        return [(Kind.VIEW, DropPath(_chance(module)))]
    if name == _NORM_AND_ACT:
        return _norm_and_act(module, given)
    base = _base(module)
    if base is None:
        raise RefusedError(f"nn.{name} has no form of integers")
    return _LEAVES[base](module, given, made)


def _chance(module: nn.Module) -> float:
    found = getattr(module, "drop_prob", getattr(module, "p", 0.0))
    return float(found) if isinstance(found, int | float) else 0.0


def _base(module: nn.Module) -> type[nn.Module] | None:
    """The class of torch whose computation the module has; None for any other."""
    for kind in _LEAVES:
        if isinstance(module, kind):
            same = all(
                getattr(type(module), name, None) is getattr(kind, name, None)
                for name in ("forward", "_conv_forward")
            )
            return kind if same else None
    return None


def _conv(module: Any, given: Shape, made: Shape) -> Chain:
    check_weight(module)
    if module.padding_mode != "zeros":
        raise RefusedError(
            f"it pads with padding_mode={module.padding_mode!r}", "use padding_mode='zeros'"
        )
    if module.padding == "same":
        sizes = zip(module.dilation, module.kernel_size, strict=True)
        if any(dilation * (kernel - 1) % 2 for dilation, kernel in sizes):
            raise RefusedError("padding='same' pads one side more", "use an odd kernel size")
    return [(Kind.LAYER, copy.deepcopy(module))]


def _linear(module: Any, given: Shape, made: Shape) -> Chain:
    check_weight(module)
    if len(given) != 1:
        raise RefusedError(
            f"it works on frames of shape {given}",
            "flatten them before, or use a convolution of kernel 1",
        )
    return [(Kind.LAYER, copy.deepcopy(module))]


def _norm(module: Any, given: Shape, made: Shape) -> Chain:
    if module.running_mean is None:
        raise RefusedError("it keeps no running statistics", "use track_running_stats=True")
    return [(Kind.NORM, copy.deepcopy(module))]


def _norm_and_act(module: Any, given: Shape) -> Chain:
    norm = nn.BatchNorm2d(
        module.num_features,
        eps=module.eps,
        momentum=module.momentum,
        affine=module.affine,
        track_running_stats=module.track_running_stats,
    )
    own = {key: value for key, value in module.state_dict().items() if key in norm.state_dict()}
    norm.load_state_dict(own)
    chain = _norm(norm, given, given)
    for part in (module.drop, module.act):
        chain += chain_of(part, given, given)
    return chain


def _hardtanh(module: Any, given: Shape, made: Shape) -> Chain:
    kind = Kind.RELU if module.min_val == 0 else Kind.CURVE
    return [(kind, nn.Hardtanh(module.min_val, module.max_val))]


def _leaky(module: Any, given: Shape, made: Shape) -> Chain:
    if module.negative_slope <= 0:
        raise RefusedError("its slope is not above zero", "use nn.ReLU")
    return [(Kind.CURVE, nn.LeakyReLU(module.negative_slope))]


def _max_pool(module: Any, given: Shape, made: Shape) -> Chain:
    if module.return_indices:
        raise RefusedError("it returns indices", "use return_indices=False")
    return [(Kind.POOL, copy.deepcopy(module))]


def _average_pool(module: Any, given: Shape, made: Shape) -> Chain:
    return average(copy.deepcopy(module), given, made)


def _adaptive(module: Any, given: Shape, made: Shape) -> Chain:
    return adaptive_average(given, made)


def adaptive_average(given: Shape, made: Shape) -> Chain:
    """An adaptive average, whose window follows from the two shapes."""
    found = fixed_average(given, made)
    if found is None:
        raise RefusedError(
            f"its windows are not of one size: from {given[1:]} to {made[1:]}",
            "use an output size that divides the map's",
        )
    return found


def _flatten(module: Any, given: Shape, made: Shape) -> Chain:
    return reshaped(given, made)


def reshaped(given: Shape, made: Shape) -> Chain:
    """A change of shape: to a vector, or none."""
    if made == given:
        return [(Kind.VIEW, nn.Identity())]
    if len(made) == 1:
        return [(Kind.VIEW, nn.Flatten())]
    raise RefusedError(f"it makes {made} of frames of shape {given}")


def _zero_pad(module: Any, given: Shape, made: Shape) -> Chain:
    return [(Kind.POOL, copy.deepcopy(module))]


def _relu(module: Any, given: Shape, made: Shape) -> Chain:
    return [(Kind.RELU, nn.ReLU6() if isinstance(module, nn.ReLU6) else nn.ReLU())]


def _same(module: nn.Module, given: Shape, made: Shape) -> Chain:
    return [(Kind.VIEW, copy.deepcopy(module))]


def _last(module: nn.Module, given: Shape, made: Shape) -> Chain:
    return [(Kind.LAST, copy.deepcopy(module))]


# Subclasses before their bases.
_LEAVES: dict[type[nn.Module], Callable[[Any, Shape, Shape], Chain]] = {
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.ConvTranspose1d: transposed,
    nn.ConvTranspose2d: transposed,
    nn.Linear: _linear,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.ReLU6: _relu,
    nn.Hardtanh: _hardtanh,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky,
    nn.MaxPool1d: _max_pool,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool1d: _average_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool1d: _adaptive,
    nn.AdaptiveAvgPool2d: _adaptive,
    nn.ZeroPad2d: _zero_pad,
    nn.Upsample: upsampling,
    nn.PixelShuffle: shuffled,
    nn.Flatten: _flatten,
    AsSeries: _same,
    nn.Identity: _same,
    nn.Dropout: _same,
    nn.Dropout1d: _same,
    nn.Dropout2d: _same,
    nn.Softmax: _last,
    nn.LogSoftmax: _last,
    nn.Sigmoid: _last,
}
