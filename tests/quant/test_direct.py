"""Layers that compute directly: the bits of Brevitas' modules, in training and evaluation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext

import brevitas.nn as qnn
import pytest
import torch
from brevitas.core.quant.int_base import IntQuant
from tiny_networks import tiny_bottleneck, tiny_deeplab
from torch import nn

from qdeploy.networks.calibrated import calibrated_random
from qdeploy.quant import native
from qdeploy.quant.direct import Direct
from qdeploy.quant.fused import FusedIntQuant
from qdeploy.quant.quantizers import fix_weight_steps, is_binary
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

SMALL = ("network.width=4",)
SHAPE = (3, 12, 12)
SHAPES = {1: (1, 28, 28), 3: (3, 12, 16)}


def network(path: str, *changes: str, shape: tuple[int, int, int] | None = None) -> nn.Module:
    recipe = load_recipe(resource(f"models/{path}.yaml"), changes)
    made = calibrated_random(recipe, shape=shape)
    if recipe.quantization.weight_step == "fixed":
        fix_weight_steps(made)
    return made


def resnet(*changes: str) -> nn.Module:
    return network("boo2020/resnet8_w2a2", *SMALL, *changes, shape=SHAPE)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "fully connected": lambda: network("quickstart/digits_fcdnn_w2a2"),
    "convolutions, maxima": lambda: network("quickstart/fashion_convnet_w2a2"),
    "residual": resnet,
    "learned steps": lambda: resnet(
        "quantization.weight_step=learned", "quantization.clip_gradient=step"
    ),
    "powers of two": lambda: resnet("quantization.scale=power_of_two"),
    "a step for each channel": lambda: resnet("quantization.weight_scaling=per_channel"),
    "learned thresholds": lambda: resnet("quantization.activation_thresholds=learned"),
    "learned thresholds, powers of two": lambda: resnet(
        "quantization.activation_thresholds=learned", "quantization.scale=power_of_two"
    ),
    "powers of two as weights": lambda: resnet(
        "quantization.weight_bits=3", "quantization.weight_levels=power_of_two"
    ),
    "sums of powers of two, learned steps": lambda: resnet(
        "quantization.weight_bits=4",
        "quantization.weight_levels=apot",
        "quantization.weight_step=learned",
    ),
    "steps that follow": lambda: resnet(
        "quantization.weight_normalization=entropy", "quantization.weight_scaling=per_channel"
    ),
    "all levels": lambda: resnet("quantization.weight_levels=all"),
    "one bit": lambda: resnet("quantization.weight_bits=1", "quantization.activation_bits=1"),
    "float activations": lambda: resnet("quantization.activation_bits=float"),
    "bottlenecks": lambda: tiny_bottleneck(shape=SHAPES[1]),
    "maps": tiny_deeplab,
}


def frames(net: nn.Module) -> torch.Tensor:
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    shape = (64,) if isinstance(first, nn.Linear) else SHAPES[first.in_channels]
    codes = torch.randint(0, 256, (6, *shape), generator=torch.Generator().manual_seed(0))
    return codes.float() / 256


@pytest.fixture(params=NETWORKS, scope="module")
def net(request: pytest.FixtureRequest) -> nn.Module:
    return NETWORKS[request.param]()


def test_logits_are_those_of_brevitas_own_code(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = frames(net)
    for training in (True, False):
        changed = copy.deepcopy(net).train(training)
        plain = copy.deepcopy(net).train(training)
        with Direct(changed):
            found = changed(x) if training else _without_gradients(changed, x)
        with monkeypatch.context() as patch:
            patch.setattr(FusedIntQuant, "forward", IntQuant.forward)
            wanted = plain(x) if training else _without_gradients(plain, x)
        assert torch.equal(found, wanted)
        assert len(torch.unique(found)) > 10


def test_gradients_are_those_of_the_modules_in_torchs_operations(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = frames(net)
    one, other = (copy.deepcopy(net).train() for _ in range(2))
    with Direct(one):
        one(x).square().sum().backward()
    monkeypatch.setattr(native, "takes_values", lambda _: False)
    other(x).square().sum().backward()
    wanted = {name: p.grad for name, p in other.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in one.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    largest = max(gradient.abs().max() for gradient in wanted.values())
    for name, gradient in wanted.items():
        # Sums over a tensor are in another order, and what they add up may cancel.
        share = 1e-5 if name.endswith(("scaling_impl.value", "lengths", "start")) else 1e-6
        bound = share * gradient.abs().max() + 1e-8 * largest
        assert (found[name] - gradient).abs().max() <= bound, name


def test_no_quantizer_of_a_network_is_left_to_brevitas_but_binary_weights(net: nn.Module) -> None:
    kinds = (qnn.QuantConv2d, qnn.QuantLinear, qnn.QuantReLU, qnn.QuantIdentity)
    quantized = [module for module in net.modules() if isinstance(module, kinds)]
    with Direct(net):
        left = [module for module in quantized if "forward" not in vars(module)]
    assert all(
        hasattr(module, "weight_quant") and is_binary(module.weight_quant) for module in left
    )
    assert len(left) < len(quantized)


def test_afterwards_nothing_is_changed_also_after_an_error(net: nn.Module) -> None:
    state = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ZeroDivisionError), Direct(net) as changed:
        changed.leave()
        changed.leave()
        changed.enter()
        raise ZeroDivisionError
    assert not any("forward" in vars(module) for module in net.modules())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_layer_with_someone_elses_quantizers_stays_as_it_is() -> None:
    layers = nn.Sequential(
        qnn.QuantConv2d(2, 3, 3, weight_bit_width=4, return_quant_tensor=False),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=False),
        qnn.QuantIdentity(act_quant=None),
        nn.ReLU(),
    )
    with Direct(layers):
        assert not any("forward" in vars(module) for module in layers.modules())


def test_the_smallest_threshold_and_the_sign_are_brevitas() -> None:
    one, other = (network("quickstart/digits_fcdnn_w2a2").train() for _ in range(2))
    x = torch.rand(4, 64)
    for given in (-0.7, 1e-12, -1e-12):
        results = []
        for net in (one, other):
            values = [p for n, p in net.named_parameters() if n.endswith("scaling_impl.value")]
            for value in values:
                value.data.fill_(given)
                value.grad = None
            context = Direct(net) if net is one else Direct(nn.Identity())
            with context:
                y = net(x)
                y.sum().backward()
            results.append((y.detach(), [v.grad for v in values]))
        assert torch.equal(results[0][0], results[1][0])
        for a, b in zip(results[0][1], results[1][1], strict=True):
            assert (a is None and b is None) or torch.allclose(a, b, rtol=1e-5)


def _without_gradients(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network(x)
    return result


def test_an_input_that_needs_a_gradient_gets_it() -> None:
    net = NETWORKS["bottlenecks"]().train()
    found = []
    for direct in (False, True):
        x = frames(net).requires_grad_()
        with Direct(net) if direct else nullcontext():
            net(x).square().sum().backward()
        assert x.grad is not None and x.grad.abs().max() > 0
        found.append(x.grad)
    torch.testing.assert_close(found[0], found[1])
