"""From a quantized network with float weights to one that is ready: scales, codes, biases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from qdeploy.observer import SILENT, Observer
from qdeploy.ptq.bias import correct_bias
from qdeploy.ptq.codes import choose_codes
from qdeploy.ptq.options import PostTraining
from qdeploy.ptq.steps import Batches, set_activation_steps, set_weight_steps
from qdeploy.quant.short_scales import shorten_scales


def calibrate(
    network: nn.Module, batches: Batches, options: PostTraining, observer: Observer = SILENT
) -> None:
    """Choose all scales of a quantized network, its codes, and correct its biases, in place.

    The same arguments give the same bits on a CPU with the same number of threads.

    Args:
        network: quantized, with the weights of the float network; its bit widths are its own.
        batches: of its input; of a list, since they are read several times.
        options: rules and methods; `equalize` is for the float network, before
            (`equalize.equalized`).
        observer: gets progress.
    """
    network.eval()
    with deterministic(options.seed), observer.warnings():
        set_weight_steps(network, options)
        set_activation_steps(network, batches, options)
        shorten_scales(network)
        if options.rounding is not None:
            choose_codes(network, batches, options.rounding, observer)
        if "bias-correction" in options.methods:
            correct_bias(network, batches, observer)
    network.eval()


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seeded random numbers and deterministic kernels; both are restored afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
