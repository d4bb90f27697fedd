"""A build's source: a quantized module in memory, and frames for it as the module takes them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.build.source import MEMORY, Source
from qdeploy.data.given_frames import GivenFrames
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.verify.frames import Frames, frames_of_random_codes
from qdeploy.verify.frames_of_files import frames_of_files

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


class ModuleSource(Source):
    """A module that `qdeploy.quantize` made, or one of Brevitas' layers.

    Its activation scales are shortened (`quant/short_scales.py`), by 1 part in 8192 at most, so
    that the float levels agree with the integers in every code.

    Args:
        module: quantized; it is left alone.
        name: of the network, which names the build.
        frames: real numbers, or None for random ones.

    Raises:
        UserError: the module is a float one, or nothing tells the shape of its input.
    """

    kind = MEMORY

    def __init__(self, module: nn.Module, name: str | None, frames: GivenFrames | None) -> None:
        from qdeploy.quant.quantizers import has_quantizers
        from qdeploy.quant.short_scales import shorten_scales
        from qdeploy.tracing.network import gives_logits, title_of

        kind = type(module).__name__
        if not has_quantizers(module):
            raise UserError(
                f"`{kind}` is a float module",
                why="integers are what its quantizers give, and it has none",
                do="quantize it with `qdeploy.quantize(module, bits, example)`, train what that "
                "returns, and export it",
            )
        self.network = gives_logits(copy.deepcopy(module).cpu().eval())
        shorten_scales(self.network)
        self.name = name or title_of(module).lower()
        self.given = frames
        shape = getattr(module, "input_shape", None)
        if shape is None and frames is not None:
            shape = frames.values.shape[1:]
        if shape is None:
            raise UserError(
                f"`{kind}` does not say the shape of its input",
                do="give frames, `x=`, or give the module an attribute `input_shape`, such as "
                "(3, 32, 32)",
            )
        self.shape = tuple(int(size) for size in shape)

    def describe(self) -> str:
        return f"module `{self.name}`"

    def write_qonnx(self, path: Path) -> None:
        from qdeploy.lowering.from_torch.export import export_qonnx_file

        assert self.network is not None
        export_qonnx_file(self.network, self.shape, path)

    def frames(self, graph: IntegerGraph, count: int, seed: int) -> Frames:
        """The given frames, or random codes.

        Raises:
            DataError: frames or labels are not those of the network.
        """
        if self.given is None:
            return frames_of_random_codes(graph, count, seed)
        return frames_of_files(graph, self.given, self.given.labels, "x")


def given_frames(x: Any, labels: Any = None) -> GivenFrames:
    """Arrays or tensors of frames and labels.

    Args:
        x: (N, ...), real numbers as the network takes them, or raw integers where it knows these.
        labels: (N,) integers.

    Raises:
        UserError: they are no frames, or labels of other frames.
    """
    values = _array(x)
    if values.dtype.kind not in "iuf" or values.ndim < 2 or not values.size:
        raise UserError(
            f"x is {values.dtype} of shape {values.shape}, which are no frames",
            do="give (N, channels, height, width), (N, channels, length) or (N, features)",
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError("x has values that are not finite", do="remove these frames")
    if labels is None:
        return GivenFrames(values)
    told = _array(labels)
    if told.shape != values.shape[:1] or told.dtype.kind not in "iu" or int(told.min()) < 0:
        raise UserError(
            f"labels are {told.dtype} of shape {told.shape}, for {len(values):,} frames",
            do="give one integer from 0 on for each frame",
        )
    return GivenFrames(values, told.astype(np.int64))


def _array(given: Any) -> np.ndarray:
    detached = given.detach().cpu() if hasattr(given, "detach") else given
    return np.asarray(detached)
