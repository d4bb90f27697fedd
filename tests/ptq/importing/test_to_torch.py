"""A float file as a module: what it computes, what its layers are called, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from float_files import exported, file_of, keras_like
from float_networks import NETWORKS, float_network
from onnx import TensorProto
from torch import nn

from qdeploy.errors import QDeployError, UnsupportedLayerError, UserError
from qdeploy.ptq.importing.to_torch import import_float, turned


def logits_of(path: Path, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: frames})[0]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("any_batch", [True, False])
def test_a_file_of_torch_is_read_as_the_network_it_was(
    kind: str, any_batch: bool, tmp_path: Path
) -> None:
    network, frames = float_network(kind)
    found = import_float(exported(network, frames, tmp_path / "net.onnx", any_batch=any_batch))
    assert found.shape == found.given_shape == tuple(frames.shape[1:])
    with torch.no_grad():
        wanted, made = network(frames), found.module(frames)
    if kind == "mlp":
        made = torch.log_softmax(made, 1)
        assert any("LogSoftmax" in note for note in found.notes)
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-4)
    own = {name for name, one in network.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}
    if kind != "timm":  # its blocks call functions of their own
        layers = {name for name, one in found.module.named_modules() if hasattr(one, "weight")}
        assert own <= layers | {"expand3"}, (own, layers)


def test_batch_norm_behind_a_layer_becomes_part_of_it(tmp_path: Path) -> None:
    network, frames = float_network("resnet")
    found = import_float(exported(network, frames, tmp_path / "net.onnx"))
    kinds = {type(module) for module in found.module.modules()}
    assert nn.BatchNorm2d not in kinds
    assert not list(found.module.buffers())
    assert all(one.bias is not None for one in found.module.modules() if isinstance(one, nn.Conv2d))


def test_the_file_of_torchs_newer_exporter_is_read_as_well(tmp_path: Path) -> None:
    network, frames = float_network("series")
    path = tmp_path / "net.onnx"
    torch.onnx.export(network, (frames[:1],), str(path), dynamo=True, verbose=False)
    found = import_float(path)
    with torch.no_grad():
        torch.testing.assert_close(found.module(frames), network(frames), rtol=1e-4, atol=1e-4)


def test_channels_last_files_come_out_channels_first(tmp_path: Path) -> None:
    path = tmp_path / "keras.onnx"
    keras_like(path)
    found = import_float(path)
    assert (found.given_shape, found.shape, found.turn) == ((12, 8, 3), (3, 12, 8), (2, 0, 1))
    frames = np.random.default_rng(1).normal(size=(4, 12, 8, 3)).astype(np.float32)
    with torch.no_grad():
        made = found.module(torch.from_numpy(turned(frames, found.turn))).softmax(1).numpy()
    np.testing.assert_allclose(made, logits_of(path, frames), atol=1e-5)


def test_an_input_of_bytes_says_what_its_integers_are(tmp_path: Path) -> None:
    path = tmp_path / "bytes.onnx"
    nodes = [
        ("Cast", ["x"], "real", {"to": TensorProto.FLOAT}),
        ("MatMul", ["real", "w"], "y", {}),
    ]
    weights = np.ones((6, 3), np.float32)
    file_of(nodes, {"w": weights}, ("n", 6), path, kind=TensorProto.UINT8)
    raw = import_float(path).raw
    assert raw is not None and (raw.lo, raw.hi, raw.scale) == (0, 255, 1)


W = {"w": np.ones((6, 6), np.float32), "s": np.float32(0.5), "z": np.zeros((), np.uint8)}


@pytest.mark.parametrize(
    ("nodes", "shape", "said"),
    [
        pytest.param(
            [
                ("QuantizeLinear", ["x", "s", "z"], "q", {}),
                ("DequantizeLinear", ["q", "s", "z"], "d", {}),
                ("MatMul", ["d", "w"], "y", {}),
            ],
            ("n", 6),
            ["is quantized already", "DequantizeLinear, QuantizeLinear", "`node_q`"],
            id="quantized",
        ),
        pytest.param(
            [
                ("MatMul", ["x", "w"], "a", {}),
                ("Elu", ["a"], "b", {}),
                ("Erf", ["b"], "c", {}),
                ("Elu", ["c"], "y", {}),
            ],
            ("n", 6),
            ["3 nodes of `net.onnx`", "Elu: node_b, node_y", "Erf: node_c"],
            id="operators",
        ),
        pytest.param(
            [("MatMul", ["x", "w"], "y", {})], ("n", "features"), ["no fixed shape"], id="dynamic"
        ),
        pytest.param(
            [
                ("MatMul", ["x", "w"], "a", {}),
                ("Sigmoid", ["a"], "b", {}),
                ("Relu", ["b"], "y", {}),
            ],
            ("n", 6),
            ["1 node of `net.onnx`", "Sigmoid: node_b"],
            id="sigmoid inside",
        ),
    ],
)
def test_what_cannot_be_quantized_is_named(
    nodes: list, shape: tuple, said: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    file_of(nodes, W, shape, path)
    with pytest.raises((UserError, UnsupportedLayerError)) as caught:
        import_float(path)
    assert all(word in caught.value.render() for word in said), caught.value.render()
    assert caught.value.exit_code == 2


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(QDeployError, match="cannot be read"):
        import_float(path)


def test_frames_of_the_modules_order_are_not_turned() -> None:
    frames = np.zeros((2, 3, 4))
    assert turned(frames, ()) is frames
