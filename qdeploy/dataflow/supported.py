"""Whether a network can become hardware, asked in seconds, before any training.

The lowering is asked first (`lowering/from_torch/trial.py`); the integer graph of the untrained
network goes on to FINN's hardware layers and their backends. Folding, files and synthesis are left
out: whether a design fits depends on the board and the rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.lowering.from_torch.trial import lower_untrained

if TYPE_CHECKING:
    from torch import nn


def check_hardware(
    network: nn.Module, input_shape: tuple[int, ...] | None = None, *, input_bits: int = 8
) -> None:
    """Refuse a quantized network that cannot become hardware.

    Args:
        network: a Brevitas network; it is not changed.
        input_shape: without the batch axis; by default the network's attribute `input_shape`.
        input_bits: width of the input codes.

    Raises:
        UnsupportedLayerError: names the layer, the reason and what is accepted.
    """
    hardware_layers(lower_untrained(network, input_shape, input_bits=input_bits))
