"""Quantizers: codes, scales, and the same values from the exported QONNX file."""

from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.export import export_qonnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from torch import nn

from qdeploy.errors import InternalError
from qdeploy.quant.quantizers import (
    activation_quantizer,
    code_range,
    input_quantizer,
    set_step,
    signed_activation_quantizer,
    weight_quantizer,
)


def conv(bits: int, power_of_two: bool, per_channel: bool) -> qnn.QuantConv2d:
    torch.manual_seed(0)
    quantizer = weight_quantizer(bits, power_of_two=power_of_two, per_channel=per_channel)
    return qnn.QuantConv2d(3, 5, 3, bias=False, weight_quant=quantizer, return_quant_tensor=False)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_lie_on_a_narrow_symmetric_grid_of_the_step_that_was_set(
    bits, power_of_two, per_channel
):
    layer = conv(bits, power_of_two, per_channel)
    hi = 2 ** (bits - 1) - 1
    assert code_range(layer.weight_quant) == (-hi, hi)
    count = 5 if per_channel else 1
    step = (
        2.0 ** -torch.arange(2.0, 2 + count) if power_of_two else torch.linspace(0.02, 0.1, count)
    )
    set_step(layer.weight_quant, step)
    torch.testing.assert_close(layer.weight_quant.scale().flatten(), step, rtol=1e-6, atol=0)
    codes = layer.quant_weight() / step.reshape(-1, 1, 1, 1)
    expected = (layer.weight / step.reshape(-1, 1, 1, 1)).round().clamp(-hi, hi)
    torch.testing.assert_close(codes, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("power_of_two", [False, True])
def test_activations_lie_on_an_unsigned_grid_up_to_the_clip(bits, power_of_two):
    act = qnn.QuantReLU(act_quant=activation_quantizer(bits, power_of_two=power_of_two)).eval()
    set_step(act.act_quant, torch.tensor(0.25))
    assert code_range(act.act_quant) == (0, 2**bits - 1)
    out = act(torch.linspace(-1, 100, 4001))
    assert (out / 0.25).unique().tolist() == list(range(2**bits))


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_input_quantizer_is_exact_on_its_codes_and_learns_nothing(bits):
    layer = qnn.QuantIdentity(act_quant=input_quantizer(bits)).eval()
    codes = torch.arange(2.0**bits) * 2.0**-bits
    assert torch.equal(layer(codes), codes)
    assert layer.act_quant.scale().item() == 2.0**-bits
    assert not list(layer.parameters())


def test_a_power_of_two_scale_stays_one_while_it_is_learned():
    act = qnn.QuantReLU(act_quant=activation_quantizer(2, power_of_two=True))
    set_step(act.act_quant, torch.tensor(0.25))
    with torch.no_grad():
        next(act.parameters()).add_(0.6)
    assert act.act_quant.scale().item() == 0.5


def test_an_unquantized_layer_is_refused():
    with pytest.raises(InternalError):
        set_step(nn.ReLU(), torch.tensor(1.0))


class Small(nn.Module):
    def __init__(self, weight_bits: int, act_bits: int, power_of_two: bool, per_channel: bool):
        super().__init__()
        self.input = qnn.QuantIdentity(act_quant=input_quantizer(act_bits))
        self.conv = conv(weight_bits, power_of_two, per_channel)
        self.act = qnn.QuantReLU(
            act_quant=activation_quantizer(act_bits, power_of_two=power_of_two)
        )
        set_step(self.conv.weight_quant, torch.full((5 if per_channel else 1,), 0.0625))
        set_step(self.act.act_quant, torch.tensor(0.125))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(self.input(x)))


@pytest.mark.parametrize(
    "kind", [(2, 2, False, False), (2, 1, True, False), (8, 8, False, True), (3, 4, True, True)]
)
def test_the_exported_file_computes_the_same_codes(tmp_path: Path, kind):
    network = Small(*kind).eval()
    x = torch.arange(3 * 64).reshape(1, 3, 8, 8).float() / 192
    path = tmp_path / "small.onnx"
    export_qonnx(network, args=x, export_path=str(path), dynamo=False, opset_version=13)
    model = cleanup_model(ModelWrapper(str(path)))
    (out,) = execute_onnx(model, {model.graph.input[0].name: x.numpy()}).values()
    with torch.no_grad():
        np.testing.assert_array_equal(out / 0.125, network(x).numpy() / 0.125)
    assert [node.op_type for node in model.graph.node].count("Quant") >= 3


@pytest.mark.parametrize("bits", range(2, 9))
def test_signed_activations_lie_on_a_symmetric_grid_and_their_clip_stops_the_gradient(bits):
    act = qnn.QuantIdentity(act_quant=signed_activation_quantizer(bits, power_of_two=False))
    set_step(act.act_quant, torch.tensor(0.25))
    hi = 2 ** (bits - 1) - 1
    assert code_range(act.act_quant) == (-hi, hi)
    x = torch.linspace(-50, 50, 2001).requires_grad_()
    out = act.train()(x)
    assert (out / 0.25).unique().tolist() == list(range(-hi, hi + 1))
    out.sum().backward()
    inside = (x.detach() / 0.25).round().abs() <= hi
    assert torch.equal(x.grad, inside.float())


@pytest.mark.parametrize("per_channel", [False, True])
def test_binary_weights_are_signs_times_a_scale_that_learns(per_channel):
    layer = conv(1, False, per_channel)
    assert code_range(layer.weight_quant) == (-1, 1)
    count = 5 if per_channel else 1
    set_step(layer.weight_quant, torch.linspace(0.1, 0.5, count))
    weight = layer.quant_weight()
    scale = layer.weight_quant.scale().detach()
    torch.testing.assert_close(scale.flatten(), torch.linspace(0.1, 0.5, count))
    torch.testing.assert_close(weight.value.detach(), layer.weight.detach().sign() * scale)
    weight.value.square().sum().backward()
    assert layer.weight.grad.abs().min() > 0
    learned = [p for name, p in layer.named_parameters() if "scaling" in name]
    assert len(learned) == 1 and learned[0].grad.abs().min() > 0
