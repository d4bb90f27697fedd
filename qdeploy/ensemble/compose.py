"""One network from several: `networks/ensemble.py` with the members' integers on one grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import torch
from torch import nn

from qdeploy.errors import UnsupportedLayerError, UserError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.from_torch.export import ChannelAffine, export_qonnx_file
from qdeploy.lowering.integers.affine import expand
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.ensemble import Ensemble
from qdeploy.quant.quantizers import set_step, signed_activation_quantizer
from qdeploy.scratch import scratch_folder


def integers_of(network: nn.Module, where: str) -> IntegerGraph:
    """The integer graph of a member; `where` it is from is named in errors.

    Raises:
        UnsupportedLayerError: it cannot become hardware.
    """
    try:
        with scratch_folder("ensemble") as folder:
            file = folder / "member.qonnx.onnx"
            export_qonnx_file(network, network.input_shape, file)  # type: ignore[arg-type]
            return lower(file)
    except UnsupportedLayerError as error:
        raise UnsupportedLayerError(
            error.what,
            where=f"{where}: {error.where}" if error.where else where,
            expected=error.expected,
            why=error.why,
            do=error.do,
        ) from error


def check_outputs(folders: Sequence[Path], graphs: Sequence[IntegerGraph]) -> None:
    """Refuse members whose logits are of different shapes, such as maps of different sizes.

    Raises:
        UserError: names the two runs.
    """
    shapes = [graph.tensors[graph.logits].shape for graph in graphs]
    for folder, shape in zip(folders, shapes, strict=True):
        if shape != shapes[0]:
            raise UserError(
                f"the members differ in the shape of their logits: {shapes[0]} in `{folders[0]}`, "
                f"{shape} in `{folder}`",
                where=str(folder),
                why="votes add up element by element",
                do="choose networks of the same output stride",
            )


def gains_of(graph: IntegerGraph) -> list[Fraction]:
    """The gains of a member's logits, one for each class."""
    return list(expand(graph.head.gain, graph.tensors[graph.logits].shape[0]))


def compose(
    networks: Sequence[nn.Module], factors: Sequence[np.ndarray], bits: int, step: float, rank: int
) -> Ensemble:
    """The ensemble of trained networks, which are copied, in evaluation mode.

    Args:
        networks: each with its quantizer of the input as `input_quant`; all these are alike.
        factors: for each network, c as in `ensemble/vote.py`, float32 (classes,).
        bits, step: the grid of the votes.
        rank: of the logits with the batch axis, 2 or 4.
    """
    members = [copy.deepcopy(network) for network in networks]
    input_quant: nn.Module = members[0].input_quant  # type: ignore[assignment]
    for member in members:
        member.input_quant = nn.Identity()
    quantizer = signed_activation_quantizer(bits, power_of_two=False)
    vote = qnn.QuantIdentity(act_quant=quantizer, return_quant_tensor=False)
    set_step(vote.act_quant, torch.tensor(step))
    affine = [ChannelAffine(one, np.zeros_like(one), rank) for one in factors]
    shape: tuple[int, ...] = networks[0].input_shape  # type: ignore[assignment]
    return Ensemble(members, input_quant, affine, vote, shape).eval()
