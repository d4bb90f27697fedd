"""Fully connected networks in one node of autograd's graph: the bits of their modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qdeploy.networks.calibrated import calibrated_random
from qdeploy.quant import native
from qdeploy.quant.direct import Direct
from qdeploy.quant.layers import LayerFactory
from qdeploy.quant.native_stage import same_norms
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.chain import Chain
from qdeploy.training.quantize import trainable

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "digits": (),
    "learned steps": ("quantization.weight_step=learned",),
    "a step for each channel": (
        "quantization.weight_scaling=per_channel",
        "quantization.weight_step=learned",
    ),
    "gradient of the step": ("quantization.clip_gradient=step",),
    "learned thresholds": ("quantization.activation_thresholds=learned",),
    "fifteen learned thresholds": (
        "quantization.activation_thresholds=learned",
        "quantization.activation_bits=4",
    ),
    "float weights": ("quantization.weight_bits=float",),
    "float activations": ("quantization.activation_bits=float",),
    "steps that follow": ("quantization.weight_normalization=entropy",),
    "wide": ("network.width=100", "network.depth=1"),
}


def network(*changes: str, quantized: bool = True) -> nn.Module:
    recipe = load_recipe(resource("models/quickstart/digits_fcdnn_w2a2.yaml"), changes)
    if quantized and recipe.quantization.weight_bits != "float":
        made = calibrated_random(recipe)
    else:
        made = trainable(recipe, quantized=quantized)
    if quantized and recipe.quantization.weight_step == "fixed":
        fix_weight_steps(made)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.3, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.8)
    return made.train()


def frames(rows: int, seed: int = 0) -> torch.Tensor:
    codes = torch.randint(0, 256, (rows, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return codes.float() / 256


def step(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything that a pass forth and back computes."""
    net.zero_grad(set_to_none=True)
    logits = net(x)
    pull = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).exp() - 1
    (logits * pull).sum().backward()
    found = {"logits": logits.detach()}
    found |= {f"{n}.grad": p.grad for n, p in net.named_parameters() if p.grad is not None}
    return found | {name: value.clone() for name, value in net.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
        assert value.shape == other[name].shape, name


def needs_kernels() -> None:
    assert native.missing() is None
    assert same_norms()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [64, 37])
def test_a_chain_has_the_bits_of_the_modules(kind, rows):
    needs_kernels()
    net = network(*KINDS[kind])
    other = copy.deepcopy(net)
    with Direct(net), Chain(net), Direct(other):
        for seed in range(3):  # memory is used again
            assert_same(step(net, frames(rows, seed)), step(other, frames(rows, seed)))
        assert "_RunBackward" in type(net(frames(rows)).grad_fn).__name__


def test_a_float_chain_has_the_bits_of_the_modules():
    needs_kernels()
    net = network(quantized=False)
    other = copy.deepcopy(net)
    with Chain(net):
        for seed in range(3):
            assert_same(step(net, frames(64, seed)), step(other, frames(64, seed)))
        assert "_RunBackward" in type(net(frames(64)).grad_fn).__name__


def test_signed_input_has_its_middle_taken_off():
    needs_kernels()
    net = network()
    recipe = load_recipe(resource("models/quickstart/digits_fcdnn_w2a2.yaml"))
    net.input_quant = LayerFactory(recipe.quantization, quantized=True, signed_input=True).input()
    other = copy.deepcopy(net)
    with Direct(net), Chain(net), Direct(other):
        assert_same(step(net, frames(64)), step(other, frames(64)))
        assert "_RunBackward" in type(net(frames(64)).grad_fn).__name__


def test_passes_that_overlap_have_memory_of_their_own():
    needs_kernels()
    net = network()
    other = copy.deepcopy(net)
    with Direct(net), Chain(net), Direct(other):
        for one in (net, other):
            first, second = one(frames(64, 0)), one(frames(64, 1))
            (first.square().sum() + second.exp().sum()).backward()
        for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
            assert (mine.grad is None) == (theirs.grad is None)
            assert mine.grad is None or torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize("why", ["evaluation", "no gradient", "a hook", "frozen norms", "threads"])
def test_modules_compute_where_a_chain_is_not_sure(why):
    net = network()
    with Direct(net), Chain(net):
        context: torch.no_grad | torch.enable_grad = torch.enable_grad()
        if why == "evaluation":
            net.eval()
        elif why == "no gradient":
            context = torch.no_grad()
        elif why == "a hook":
            net.hidden1.norm.register_forward_hook(lambda *_: None)
        elif why == "frozen norms":
            net.hidden1.norm.eval()
        else:
            torch.set_num_threads(2)
        with context:
            assert "_Run" not in type(net(frames(64)).grad_fn).__name__


def test_other_networks_stay_as_they_are():
    recipe = load_recipe(resource("models/quickstart/fashion_convnet_w2a2.yaml"))
    net = calibrated_random(recipe)
    with Chain(net):
        assert "forward" not in vars(net)
    residual = network("network.residual=true")
    with Chain(residual):
        assert "forward" not in vars(residual)
