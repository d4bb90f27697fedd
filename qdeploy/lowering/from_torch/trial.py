"""Trial lowering of a network: in seconds, can it become integers, and what hardware is it?

It is exported and lowered without the passes that only matter for the exact numbers; an untrained
one is calibrated on a few random codes before. What counts is the refusal; the graph is for further
checks (`dataflow/supported.py`) and for what the network costs (`search`).
"""

from __future__ import annotations

import copy

import onnx
import torch
from torch import nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.scratch import scratch_folder

# Batch norm needs more than one value per channel, and some input other than zero.
CALIBRATION_FRAMES = 4
CALIBRATION_STEPS = 2


def lower_untrained(
    network: nn.Module, input_shape: tuple[int, ...] | None = None, *, input_bits: int = 8
) -> IntegerGraph:
    """Lower a quantized network before its training, to find out whether it can be lowered.

    Args:
        network: a Brevitas network; it is not changed.
        input_shape: without the batch axis; by default the network's attribute `input_shape`.
        input_bits: width of the input codes.

    Returns:
        The integer graph of the untrained network.

    Raises:
        UnsupportedLayerError: names the layer, the reason and what is accepted.
    """
    shape = input_shape or getattr(network, "input_shape", None)
    if shape is None:
        raise UnsupportedLayerError(
            f"{type(network).__name__} does not say what it takes",
            do="give the network an attribute `input_shape`, such as (1, 28, 28)",
        )
    trial = copy.deepcopy(network).cpu().train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for _ in range(CALIBRATION_STEPS):
            codes = torch.randint(0, 2**input_bits, (CALIBRATION_FRAMES, *shape))
            trial(codes.float() * 2.0**-input_bits)
    return lower_as_trial(trial, shape)


def lower_as_trial(
    network: nn.Module, input_shape: tuple[int, ...], *, argmax: bool = False
) -> IntegerGraph:
    """Lower a quantized network with the scales and statistics that it has.

    Its thresholds may be those of float rounding: not for what is deployed.

    Raises:
        UnsupportedLayerError: names the layer, the reason and what is accepted.
    """
    with scratch_folder("trial") as folder:
        path = folder / "trial.qonnx.onnx"
        export_qonnx_file(network, input_shape, path, centre=False)
        return lower_model(onnx.load(path), argmax=argmax).graph
