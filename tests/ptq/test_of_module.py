"""`qdeploy.post_training`, and inputs whose channels have ranges of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from float_files import exported
from float_networks import float_network
from judged import judged
from torch import nn

import qdeploy
from qdeploy.errors import UserError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower
from qdeploy.ptq.channel_ranges import with_channel_factors
from qdeploy.ptq.importing.to_torch import import_float
from qdeploy.ptq.of_file import quantize_file
from qdeploy.ptq.options import PostTraining
from qdeploy.verify.float_levels import qonnx_level


def test_a_module_is_quantized_with_frames_alone() -> None:
    module, frames = float_network("resnet")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    made = qdeploy.post_training(module, frames, input_range=(0, 1))
    again = qdeploy.post_training(module, frames, input_range=(0, 1))
    coarse = qdeploy.post_training(module, frames, weights=3, activations=3, methods=["gptq"])
    assert not made.training
    with torch.no_grad():
        wanted, found = module(frames), made(frames)
        assert torch.equal(found, again(frames))
        off = [
            float((one - wanted).abs().max() / wanted.abs().max())
            for one in (found, coarse(frames))
        ]
    assert off[0] < 0.1 < off[1]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_frames_that_are_none_are_refused() -> None:
    module, frames = float_network("mlp")
    for given in (frames[:0], frames * torch.inf, frames[0]):
        with pytest.raises(UserError, match="are none, or not finite"):
            qdeploy.post_training(module, given)
    with pytest.raises(UserError, match="exclude each other"):
        qdeploy.post_training(module, frames, methods=["gpfq", "gptq"])


def table(folder: Path) -> tuple[Path, torch.Tensor]:
    """A file of a network that reads two large and seven small features, and frames."""
    module, frames = float_network("mlp")
    frames = (torch.cat([frames] * 4) - 0.3) * torch.tensor([1000.0, 300.0, *[1.0] * 7])
    first: nn.Linear = module.fc1  # type: ignore[assignment]
    with torch.no_grad():
        first.weight.div_(torch.tensor([1000.0, 300.0, *[1.0] * 7]))
    return exported(module, frames, folder / "net.onnx"), frames


def test_factors_of_channels_change_no_bit(tmp_path: Path) -> None:
    path, frames = table(tmp_path)
    module = import_float(path).module
    changed = with_channel_factors(module, frames)
    assert changed is not module
    assert torch.equal(changed(frames), module(frames))
    images, pictures = float_network("resnet")
    even = import_float(exported(images, pictures, tmp_path / "images.onnx")).module
    assert with_channel_factors(even, pictures) is even
    grouped, series = float_network("series")
    first = import_float(exported(grouped, series, tmp_path / "series.onnx")).module
    uneven = series * torch.tensor([1.0, 100.0])[:, None]
    factored = with_channel_factors(first, uneven)
    torch.testing.assert_close(factored(uneven), first(uneven), rtol=0, atol=0)


def test_small_features_beside_large_ones_keep_their_codes(tmp_path: Path) -> None:
    path, frames = table(tmp_path)
    np.save(tmp_path / "frames.npy", frames.numpy())
    out = tmp_path / "out.onnx"
    made = quantize_file(path, out, tmp_path / "frames.npy", PostTraining())
    assert made.comparison.agreement > 0.9
    graph = lower(out)
    codes = graph.prepared.codes(frames.numpy()).astype(np.int64)
    assert all(len(np.unique(codes[:, feature])) > 8 for feature in range(9))
    verdict = judged(out, codes, qonnx_level(out, graph, codes))
    assert verdict.wrong == 0, verdict
    assert len(np.unique(run_reference(graph, codes)["logits"])) > 10
