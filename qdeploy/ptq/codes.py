"""Codes of weights that are not the nearest ones: GPFQ and GPTQ through Brevitas, and AdaRound.

    GPFQ   Lybrand & Saab 2021; Brevitas' version works with covariances
    GPTQ   Frantar et al. 2023

Each goes through the layers in their order, with the activations of the layers quantized so far.
Afterwards the weight is its code times the scale, so that rounding it again, here, in the exported
file and in the integer graph, gives the same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from brevitas.graph.gpfq import gpfq_mode
from brevitas.graph.gptq import gptq_mode
from torch import nn

from qdeploy.observer import Observer
from qdeploy.ptq.adaround import learn_rounding
from qdeploy.ptq.steps import Batches
from qdeploy.quant.quantizers import is_quantized


def choose_codes(network: nn.Module, batches: Batches, method: str, observer: Observer) -> None:
    """Choose the codes of all quantized weights by `method`, in place.

    Args:
        network: in evaluation mode, with all scales set.
        batches: of its input.
        method: gpfq, gptq or adaround.
    """
    if method == "adaround":
        learn_rounding(network, batches, observer)
    else:
        _by_brevitas(network, batches, method, observer)
    write_codes(network)


def write_codes(network: nn.Module) -> None:
    """Replace every quantized weight by its code times the scale."""
    with torch.no_grad():
        for layer in network.modules():
            if is_quantized(layer):
                quantized: Any = layer.weight_quant(layer.weight)  # type: ignore[operator]
                layer.weight.copy_(quantized.value)  # type: ignore[operator]


def _by_brevitas(network: nn.Module, batches: Batches, method: str, observer: Observer) -> None:
    mode = gpfq_mode if method == "gpfq" else gptq_mode
    forward = network.forward
    try:
        with torch.no_grad(), _contiguous(network), mode(network) as working:
            for _ in observer.track(range(working.num_layers), method, unit="layers"):
                for batch in batches:
                    working.model(batch)
                working.update()
    finally:
        # Brevitas puts the method where the class had it; a copy of the network would call this
        # one.
        if "forward" in vars(network) and network.forward == forward:
            del network.forward
    for layer in network.modules():
        if hasattr(layer, "weight_orig"):
            del layer.weight_orig


@contextmanager
def _contiguous(network: nn.Module) -> Iterator[None]:
    """Weights laid out as Brevitas' in-place views need them."""
    moved: list[torch.Tensor] = []
    for layer in network.modules():
        if is_quantized(layer):
            weight: torch.Tensor = layer.weight  # type: ignore[assignment]
            if not weight.is_contiguous():
                moved.append(weight)
                weight.data = weight.data.contiguous()
    try:
        yield
    finally:
        for weight in moved:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
