"""A float network becomes a quantized one that is exact as integers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from float_networks import NETWORKS, float_network
from judged import judged
from torch import nn

from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.quant.quantizers import is_quantized
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.quantize import quantize_module
from qdeploy.verify.rungs.torch import torch_level


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_integers_are_those_of_the_quantized_network(kind: str, tmp_path: Path) -> None:
    module, frames = float_network(kind)
    made = quantize_module(module, Quantization(weight_bits=3, activation_bits=3), frames)
    path = tmp_path / "net.qonnx.onnx"
    network = made.network.eval()
    export_qonnx_file(network, network.input_shape, path)
    graph = lower(path)
    codes = graph.prepared.codes(frames.numpy()).astype(np.int64)
    integers = run_reference(graph, codes)
    logits = graph.head.values(integers["logits"])
    found = deployed_network(network, path)(frames).detach().numpy()
    if kind == "mlp":  # the last step is left to the host
        logits = torch.log_softmax(torch.from_numpy(logits), 1).numpy()
    assert len(np.unique(integers["logits"])) > 10
    assert np.abs(logits - found).max() <= 1e-4 * np.abs(found).max()
    if graph.prepared.scale is not None and kind not in ("mlp", "normalizing"):
        level = torch_level(deployed_network(network, path), graph, codes)
        verdict = judged(path, codes, level)
        assert verdict.wrong == 0, verdict
        assert len(level.codes) > 2


def quantized(kind: str, **settings: object) -> nn.Module:
    module, frames = float_network(kind)
    return quantize_module(module, Quantization(**settings), frames).network  # type: ignore[arg-type]


def widths(network: nn.Module) -> dict[str, int]:
    """Layer -> bits of its weights."""
    return {
        name: int(layer.weight_quant.bit_width())  # type: ignore[operator, union-attr]
        for name, layer in network.named_modules()
        if is_quantized(layer)
    }


def test_first_and_last_layers_have_their_own_widths_and_names_stay() -> None:
    module, _ = float_network("resnet")
    network = quantized("resnet", weight_bits=2, layers={"layer2.*.conv1": {"weight_bits": 5}})
    expected = {
        name: 2 for name, one in module.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)
    }
    expected |= {"conv1": 8, "fc": 8, "layer2.0.conv1": 5, "layer2.1.conv1": 5}
    assert widths(network) == expected
    own = network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in module.state_dict().items())


def test_a_residual_stream_has_one_quantizer_and_a_rectified_one_is_quantized_again() -> None:
    stream = quantized("mobilenet")
    names = [name for name in dict(stream.named_modules()) if name.endswith("add_quant")]
    assert names == ["features.2.add_quant"]
    joins = quantized("resnet")
    names = [name for name in dict(joins.named_modules()) if name.endswith("add_quant")]
    assert names == [f"layer{i}.{j}.add_quant" for i in (1, 2) for j in (0, 1)]


def test_activations_that_are_concatenated_share_a_quantizer() -> None:
    names = dict(quantized("dense").named_modules())
    relus = [name for name in names if name.startswith("relu") and "." not in name]
    assert relus == ["relu", "relu_2", "relu_3", "relu_4", "relu_6"]  # relu_5 has that of relu_4


def test_a_range_of_the_input_gives_its_codes() -> None:
    module, frames = float_network("resnet")
    quantization = Quantization(input_bits=8)
    given = frames * 256 / 255
    unit = quantize_module(module, quantization, given, input_range=(0.0, 1.0)).network
    assert float(unit.input_quant.act_quant.scale()) == pytest.approx(1 / 255)  # type: ignore
    signed = quantize_module(module, quantization, frames * 4 - 2, input_range=(-2.0, 2.5)).network
    values = signed.input_quant(torch.tensor([-2.5, 0.0, 2.5, 9.0]))  # type: ignore[operator]
    assert values.tolist() == pytest.approx([-2.5, 0.0, 2.5, 2.5], rel=1e-6)


def test_the_float_twin_computes_what_the_module_does_under_the_same_names() -> None:
    module, frames = float_network("timm")
    made = quantize_module(module, Quantization(), frames)
    with torch.no_grad():
        assert torch.allclose(made.floating(frames), module(frames), atol=1e-6)
    layers = dict(made.floating.named_modules())
    assert all(isinstance(layers[name], nn.Conv2d | nn.Linear) for name in made.layers)
    assert list(made.layers) == list(widths(made.network))
    assert "float_networks.py" in str(made.places["blocks.0.conv_pw"])


def test_weight_scales_stay_fixed_after_a_state_is_loaded() -> None:
    network = quantized("resnet")
    network.load_state_dict(network.state_dict())
    scales = [value for name, value in network.named_parameters() if "weight_quant" in name]
    assert len(scales) == 11 and not any(value.requires_grad for value in scales)


def test_it_trains_and_dropout_is_off_in_evaluation_alone() -> None:
    network = quantized("mobilenet", weight_bits=4, activation_bits=4)
    _, frames = float_network("mobilenet")
    labels = torch.arange(12) % 5
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), 0.01)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(frames), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.equal(network(frames), network(frames))
    network.eval()
    assert torch.equal(network(frames), network(frames))
