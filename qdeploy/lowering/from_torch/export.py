"""From a quantized Brevitas network to a QONNX file that defines the numbers.

Batch norm becomes one float32 scale and one float32 bias per channel before the file is written,
computed in float64 and rounded once:

    y = (x - mean)·gamma/sqrt(var + eps) + beta = x·scale + bias

Thresholds are later derived from exactly these float32 numbers. Biases are moved (`margins.py`) to
where float rounding can no longer change a code.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from brevitas.proxy import ActQuantProxyFromInjector
from onnx import ModelProto
from torch import nn

from qdeploy import provenance
from qdeploy.artifacts import atomic_path
from qdeploy.errors import UserError
from qdeploy.lowering.canonical.affine_nodes import affine_of_batch_norm
from qdeploy.lowering.canonical.import_qonnx import PASSES, one_input
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.passes import (
    add_initializer,
    initializers,
    replace_node,
    run_passes,
)
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes
from qdeploy.lowering.from_torch.margins import CentreMargins
from qdeploy.quant.quantizers import is_quantized, weight_level_quantizer

METADATA_KEY = "qdeploy.provenance"
OPSET = 13


class ChannelAffine(nn.Module):
    """x·scale + bias, one of each per channel (axis 1); of `rank` axes, or one more."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, scale: np.ndarray, bias: np.ndarray, rank: int) -> None:
        super().__init__()
        shape = (-1, *([1] * (rank - 2)))
        self.register_buffer("scale", torch.from_numpy(scale.reshape(shape).copy()))
        self.register_buffer("bias", torch.from_numpy(bias.reshape(shape).copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, ...) -> the same shape."""
        scale, bias = self.scale, self.bias
        if x.dim() > scale.dim() + 1:  # batch norm of a series
            scale, bias = scale[:, None], bias[:, None]
        return x * scale + bias


def freeze_batch_norm(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, on the CPU, with every batch norm replaced by a `ChannelAffine`.

    Module names stay. This is the network whose numbers the exported file holds.
    """
    frozen = copy.deepcopy(network).cpu().eval()
    for name, module in list(frozen.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            rank = 4 if isinstance(module, nn.BatchNorm2d) else 2
            setattr(frozen.get_submodule(parent), child, _affine(name, module, rank))
    return frozen


def export_qonnx_file(
    network: nn.Module, input_shape: tuple[int, ...], path: Path, *, centre: bool = True
) -> None:
    """Write a quantized network as a QONNX file with inferred shapes, atomically.

    Args:
        network: a Brevitas network; it is not changed. Node names in the file follow its modules.
        input_shape: without the batch axis, such as (C, H, W).
        path: the file to write. Its metadata holds the versions that made it.
        centre: move biases to where float rounding changes no code; a trial does without.

    Raises:
        UnsupportedLayerError: the network cannot become hardware.
    """
    frozen = freeze_batch_norm(network)
    _round_to_levels(frozen)
    frame = torch.zeros(1, *input_shape)
    with atomic_path(path) as temporary:
        with torch.no_grad():
            export_qonnx(
                frozen,
                frame,
                str(temporary),
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["logits"],
            )
        model = onnx.load(temporary)
        kind = type(network).__name__
        place = f"what {kind}.forward takes and returns"
        one_input(model, f"the network {kind}", place, most_outputs=1)
        _restore_unsigned_bits(model, _unsigned_bit_layers(frozen))
        model = run_passes(infer_shapes(model), PASSES, probe=False).model
        if centre:
            model = CentreMargins()(model, probe=False).model
        model.graph.name = type(network).__name__.lower()
        model.producer_name = "qdeploy"
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(provenance.record())})
        onnx.save(model, temporary)


def deployed_network(network: nn.Module, path: Path) -> nn.Module:
    """`freeze_batch_norm` with the scales and biases of an exported file of this network."""
    frozen = freeze_batch_norm(network)
    model = onnx.load(path)
    known = initializers(model)
    modules = dict(frozen.named_modules())
    for node in model.graph.node:
        module = modules.get(module_path(node))
        if isinstance(module, ChannelAffine) and node.op_type in ("Mul", "Add"):
            target = module.scale if node.op_type == "Mul" else module.bias
            value = next(known[name] for name in node.input if name in known)
            target.copy_(torch.from_numpy(value.copy()).reshape(target.shape))
    return frozen


def _round_to_levels(network: nn.Module) -> None:
    """Replace weights that have levels of their own by these: the file rounds to a uniform grid,
    which leaves them as they are."""
    for layer in network.modules():
        if is_quantized(layer):
            proxy, weight = cast(nn.Module, layer.weight_quant), cast(torch.Tensor, layer.weight)
            if weight_level_quantizer(proxy) is not None:
                weight.data = proxy(weight).value.detach()


def _unsigned_bit_layers(network: nn.Module) -> set[str]:
    """Layers whose activations have the codes 0 and 1."""
    return {
        name.rpartition(".")[0]
        for name, module in network.named_modules()
        if isinstance(module, ActQuantProxyFromInjector)
        and module.is_quant_enabled
        and module.bit_width() == 1
        and not module.is_signed
    }


def _restore_unsigned_bits(model: ModelProto, layers: set[str]) -> None:
    """Brevitas writes every 1-bit quantizer as -1/+1; the unsigned ones are 0/1."""
    for node in list(model.graph.node):
        if node.op_type == "BipolarQuant" and module_path(node) in layers:
            constants = [
                add_initializer(model, f"{node.output[0]}_{key}", np.array(value, np.float32))
                for key, value in (("zero_point", 0), ("bit_width", 1))
            ]
            new = onnx.helper.make_node(
                "Quant",
                [*node.input, *constants],
                node.output,
                node.name.replace("BipolarQuant", "Quant"),
                domain=node.domain,
                signed=0,
                narrow=0,
                rounding_mode="ROUND",
            )
            replace_node(model, node, [new])


def _affine(name: str, norm: nn.BatchNorm1d | nn.BatchNorm2d, rank: int) -> ChannelAffine:
    if norm.running_mean is None or norm.running_var is None:
        raise UserError(
            f"batch norm `{name}` keeps no running statistics",
            why="inference needs a fixed mean and variance",
            do="use track_running_stats=True",
        )
    mean = norm.running_mean.double().numpy()
    var = norm.running_var.double().numpy()
    gamma = np.ones_like(mean) if norm.weight is None else norm.weight.detach().double().numpy()
    beta = np.zeros_like(mean) if norm.bias is None else norm.bias.detach().double().numpy()
    return ChannelAffine(*affine_of_batch_norm(gamma, beta, mean, var, norm.eps), rank=rank)
