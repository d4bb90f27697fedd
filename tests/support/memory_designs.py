"""Small designs that together have every kind of block, for tests that read them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from random_graphs import (
    GraphMaker,
    small_convnet,
    small_decoder,
    small_densenet,
    small_mobilenet,
    small_resnet,
    small_unet,
)

from qdeploy.dataflow.compile import compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph, Threshold


class _Maker(GraphMaker):
    """Weights of one bit are -1 and +1; thresholds may be those of a line."""

    def _weights(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        if bits > 1:
            return super()._weights(shape, bits)
        return 2 * self.random.integers(0, 2, shape) - 1

    def line(self, bits: int, base: int = 0) -> _Maker:
        """Codes that rise evenly with the sum, as a multiplication gives them."""
        source = self.now
        self.threshold(bits, base)
        node = self.nodes.pop()
        assert isinstance(node, Threshold)
        levels = np.arange(1, 2**bits)
        rise = self.random.integers(3, 9, (source.shape[0], 1))
        table = np.minimum(-(-(levels * 64) // rise) + source.lo // 2, source.hi + 1)
        self.nodes.append(replace(node, thresholds=np.maximum(table, source.lo)))
        return self


def uneven() -> GraphMaker:
    """Strides beyond the kernel, dilation, padding on one side, a padded pool, a class per pixel
    of logits with a bias."""
    maker = GraphMaker(3, (2, 11, 12), bits=4)
    maker.conv(4, (3, 2), (1, 1), (0, 1, 2, 0), (2, 3)).threshold()
    maker.conv(6, (1, 3), (2, 2), (1, 0, 0, 2)).threshold(bits=3, base=-4)
    maker.conv(5, (1, 1), (2, 1), (0, 0, 0, 0)).bias().threshold(bits=5)
    maker.max_pool((2, 2), (1, 2), (1, 0, 0, 1))
    return maker.conv(3, (1, 1), pads=(0, 0, 0, 0)).bias().argmax()


def many_levels() -> GraphMaker:
    """Codes of 6 and 8 bits by multiplication and by search, and binary units with both."""
    maker = _Maker(5, (3, 8, 8), bits=4)
    maker.conv(4, weight_bits=4).line(6).conv(8, (1, 1), pads=(0, 0, 0, 0)).threshold(bits=1)
    maker.conv(6, weight_bits=1).threshold(bits=1).conv(6, weight_bits=1).line(5, base=-16)
    maker.depthwise(weight_bits=4).line(5).global_sum().line(8)
    return maker.dense(5, weight_bits=4).bias()


DESIGNS = {
    "convnet": (small_convnet, 2_000.0),
    "resnet": (small_resnet, None),
    "mobilenet": (small_mobilenet, 20_000.0),
    "uneven": (uneven, 5_000.0),
    "many_levels": (many_levels, 20_000.0),
    "many_levels_fast": (many_levels, None),
    "unet": (small_unet, 20_000.0),
    "unet_fast": (small_unet, None),
    "densenet": (small_densenet, None),
    "decoder": (small_decoder, 20_000.0),
}


def stitched(name: str, folder: Path) -> tuple[Design, IntegerGraph]:
    """One of `DESIGNS`, in `folder`."""
    make, fps = DESIGNS[name]
    graph = make().graph()
    compile_graph(graph, load_board("pynq-z2"), folder, fps=fps)
    return Design.load(folder), graph
