"""Methods on a network that a recipe makes: what each promises, and that its codes are deployed."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from float_twins import SHAPE, float_network, frames, quantized_twin, recipe
from torch import nn

from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.observer import SILENT
from qdeploy.ptq.bias import correct_bias
from qdeploy.ptq.calibrate import calibrate
from qdeploy.ptq.codes import choose_codes
from qdeploy.ptq.equalize import equalized
from qdeploy.ptq.options import ROUNDINGS, PostTraining
from qdeploy.ptq.steps import in_float, set_activation_steps, set_weight_steps
from qdeploy.quant.quantizers import code_range, is_quantized
from qdeploy.verify.rungs.torch import torch_level

BITS = ("quantization.weight_bits=3", "quantization.activation_bits=4")
NEAREST = PostTraining(weight_bits=3, activation_bits=4, methods=())


@pytest.fixture(scope="module")
def floating() -> nn.Module:
    return float_network(recipe(*BITS))


@pytest.fixture
def twin(floating: nn.Module) -> nn.Module:
    return quantized_twin(recipe(*BITS), floating)


@pytest.fixture(scope="module")
def batches() -> list[torch.Tensor]:
    return list(frames(96, seed=2).split(32))


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for networks this small."""
    monkeypatch.setattr("qdeploy.ptq.adaround.STEPS", 300)


def error(network: nn.Module, floating: nn.Module, given: torch.Tensor) -> float:
    with torch.no_grad():
        return float((network(given) - floating(given)).square().mean())


def test_with_its_quantizers_off_a_network_is_the_float_one(
    twin: nn.Module, floating: nn.Module
) -> None:
    given = frames(4)
    with torch.no_grad():
        with in_float(twin):
            assert torch.equal(twin(given), floating(given))
        assert not torch.equal(twin(given), floating(given))


def test_the_hundredth_percentile_clips_nothing(
    twin: nn.Module, floating: nn.Module, batches: list[torch.Tensor]
) -> None:
    seen: list[torch.Tensor] = []
    floating.stem.act.register_forward_hook(lambda *call: seen.append(call[2]))  # type: ignore
    options = PostTraining(steps="percentile", percentile=100.0)
    set_activation_steps(twin, batches, options)
    with torch.no_grad():
        for batch in batches:
            floating(batch)
    step = twin.stem.act.act_quant.scale().detach()  # type: ignore[union-attr, operator]
    assert float(step) == pytest.approx(float(torch.cat(seen).max()) / 15, rel=1e-6)
    set_activation_steps(twin, batches, PostTraining(steps="percentile", percentile=90.0))
    assert float(twin.stem.act.act_quant.scale().detach()) < 0.8 * float(step)  # type: ignore


@pytest.mark.parametrize("method", ROUNDINGS)
def test_chosen_codes_are_better_than_the_nearest_ones(
    method: str,
    twin: nn.Module,
    floating: nn.Module,
    batches: list[torch.Tensor],
) -> None:
    set_weight_steps(twin, NEAREST)
    set_activation_steps(twin, batches, NEAREST)
    nearest, keys = copy.deepcopy(twin), list(twin.state_dict())
    choose_codes(twin, batches, method, SILENT)
    others = frames(64, seed=3)
    assert error(twin, floating, others) < 0.9 * error(nearest, floating, others)
    assert list(twin.state_dict()) == keys
    assert error(copy.deepcopy(twin), twin, others) == 0
    for layer in twin.modules():
        if is_quantized(layer):
            scale = layer.weight_quant(layer.weight).scale  # type: ignore[operator]
            codes = (layer.weight / scale).round()  # type: ignore[operator]
            assert torch.equal(codes * scale, layer.weight)
            lo, hi = code_range(layer.weight_quant)  # type: ignore[arg-type]
            assert lo <= int(codes.min()) and int(codes.max()) <= hi


def test_equalized_network_computes_the_same_with_more_even_channels(
    floating: nn.Module, batches: list[torch.Tensor]
) -> None:
    def spread(network: nn.Module) -> float:
        gains = network.group1.block1.norm1.weight.detach().abs()  # type: ignore
        return float(gains.max() / gains.min())

    before = copy.deepcopy(floating.state_dict())
    even = equalized(floating, batches)
    torch.testing.assert_close(even(batches[0]), floating(batches[0]), rtol=1e-4, atol=1e-4)
    assert spread(even) < 0.9 * spread(floating)
    assert list(even.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in floating.state_dict().items())


def test_a_corrected_layer_has_the_mean_of_the_float_one(
    twin: nn.Module, floating: nn.Module, batches: list[torch.Tensor]
) -> None:
    set_weight_steps(twin, NEAREST)
    set_activation_steps(twin, batches, NEAREST)
    keys = list(twin.state_dict())
    stem = twin.stem

    def mean(network: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            found = [network.norm(network.conv(twin.input_quant(batch))) for batch in batches]  # type: ignore
        return torch.cat(found).mean(dim=(0, 2, 3))

    wanted = mean(floating.stem)  # type: ignore[arg-type]
    before = float((mean(stem) - wanted).abs().max())  # type: ignore[arg-type]
    correct_bias(twin, batches, SILENT)
    after = float((mean(stem) - wanted).abs().max())  # type: ignore[arg-type]
    assert after < 1e-5 < before
    assert list(twin.state_dict()) == keys


@pytest.mark.parametrize(
    "methods",
    [
        (),
        ("gpfq", "bias-correction"),
        ("gptq", "equalize"),
        ("adaround", "equalize", "bias-correction"),
    ],
    ids="+".join,
)
def test_the_integers_of_the_exported_file_are_those_of_torch(
    methods: tuple[str, ...], floating: nn.Module, batches: list[torch.Tensor], tmp_path: Path
) -> None:
    options = PostTraining(weight_bits=3, activation_bits=4, methods=methods)
    source = equalized(floating, batches) if "equalize" in methods else floating
    network = quantized_twin(recipe(*BITS), source)
    calibrate(network, batches, options)
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, SHAPE, path)
    graph = lower(path)
    codes = (frames(8, seed=5) * 256).numpy().astype(np.int64)
    expected = run_reference(graph, codes)
    actual = torch_level(deployed_network(network, path), graph, codes).codes
    assert len(np.unique(expected["logits"])) > 20
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
