"""Whether a network's codes vary: one with constant codes proves nothing on the ladder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qdeploy.ir.integer_graph import IntArray, IntegerGraph

# A network beyond these limits is refused.
LARGEST_CODE_SHARE = 0.95
LARGEST_CLASS_SHARE = 0.9
LARGEST_FROZEN_SHARE = 0.75
FEWEST_CLASSES = 3


@dataclass(frozen=True)
class Spread:
    """How much the codes of a network differ over frames.

    Args:
        classes: different predictions, of frames or pixels.
        class_share: share of the most common of them.
        fewest_codes: different codes at the boundary that has the fewest.
        code_share, frozen: at the boundaries where they are largest, the share of the most common
            code and that of the elements whose code is the same in every frame.
        where: names of these three boundaries.
    """

    classes: int
    class_share: float
    fewest_codes: int
    code_share: float
    frozen: float
    where: tuple[str, str, str]

    def collapsed(self) -> str:
        """What is wrong with it, empty if nothing."""
        if self.fewest_codes < 2:
            return f"`{self.where[0]}` has one code only"
        if self.code_share > LARGEST_CODE_SHARE:
            return f"{self.code_share:.0%} of `{self.where[1]}` are one code"
        if self.frozen > LARGEST_FROZEN_SHARE:
            return f"{self.frozen:.0%} of `{self.where[2]}` are the same in every frame"
        if self.classes < FEWEST_CLASSES or self.class_share > LARGEST_CLASS_SHARE:
            return f"{self.classes} classes, {self.class_share:.0%} of the frames in one"
        return ""


def spread_of_build(folder: Path, argmax: bool) -> Spread:
    """Run the integer network of a build on the build's own frames."""
    from qdeploy.build_folder import QONNX_FILE
    from qdeploy.lowering.integers.lower import lower
    from qdeploy.verify.frames import load_frames
    from qdeploy.verify.integer_codes import integer_codes

    graph = lower(folder / QONNX_FILE, argmax=argmax)
    return spread(graph, integer_codes(graph, load_frames(folder).codes), argmax)


def spread(graph: IntegerGraph, codes: Mapping[str, IntArray], argmax: bool) -> Spread:
    """Of codes (frames, *shape) by boundary; `argmax`: the output holds classes, not logits."""
    output = codes[graph.output]
    predictions = output.reshape(-1) if argmax else output.argmax(axis=1).reshape(-1)
    counts: dict[str, int] = {}
    shares: dict[str, float] = {}
    frozen: dict[str, float] = {}
    for name in graph.boundaries():
        values = codes[name]
        if name == graph.output and argmax:
            continue
        _, found = np.unique(values, return_counts=True)
        counts[name], shares[name] = len(found), found.max() / found.sum()
        frozen[name] = float((values == values[:1]).all(axis=0).mean())
    fewest = min(counts, key=counts.__getitem__)
    commonest, still = (max(part, key=part.__getitem__) for part in (shares, frozen))
    _, classes = np.unique(predictions, return_counts=True)
    return Spread(
        classes=len(classes),
        class_share=float(classes.max() / classes.sum()),
        fewest_codes=counts[fewest],
        code_share=shares[commonest],
        frozen=frozen[still],
        where=(fewest, commonest, still),
    )
