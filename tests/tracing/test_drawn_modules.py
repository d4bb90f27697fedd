"""Modules drawn by chance: whatever they consist of, the integers are those of the network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from judged import judged
from random_modules import drawn

from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.quantize import quantize_module
from qdeploy.verify.rungs.torch import torch_level


def check(seed: int, folder: Path) -> int:
    """How many different logits there are; a network of constants shows nothing."""
    module, frames = drawn(seed)
    made = quantize_module(module, Quantization(weight_bits=3, activation_bits=3), frames)
    with torch.no_grad():
        assert torch.allclose(made.floating(frames), module(frames), atol=1e-5)
    path, network = folder / "net.qonnx.onnx", made.network.eval()
    export_qonnx_file(network, network.input_shape, path)
    graph = lower(path)
    codes = graph.prepared.codes(frames.numpy()).astype(np.int64)
    level = torch_level(deployed_network(network, path), graph, codes)
    verdict = judged(path, codes, level)
    assert verdict.wrong == 0, (module.steps, verdict)
    return len(np.unique(level.codes["logits"]))


# A dead branch through a shared quantizer, an input that is curved before it is quantized, sums
# of sums, concatenations of concatenations, pools of everything.
@pytest.mark.parametrize("seed", [5, 10, 54, 81, 111, 192, 220, 260])
def test_a_drawn_module_is_exact(seed: int, tmp_path: Path) -> None:
    assert check(seed, tmp_path) > 1


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1100, 25))
def test_many_drawn_modules_are_exact(first: int, tmp_path: Path) -> None:
    logits = [check(seed, tmp_path) for seed in range(first, first + 25)]
    assert sum(count > 1 for count in logits) > 20
