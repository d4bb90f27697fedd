"""What the rungs of the ladder run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.verify.narrow import Narrow

if TYPE_CHECKING:
    from torch import nn

# Boundary -> codes (frames, *shape) of the integer graph, which every level has to equal; of the
# narrowest type, so what computes with them has to widen them.
Reference: TypeAlias = Mapping[str, Narrow]


@dataclass(frozen=True)
class LadderInputs:
    """Everything the rungs run on.

    Args:
        folder: the build folder.
        graph: the build's integer graph.
        network: the trained network, None when only a QONNX file is at hand.
        frames: input codes (frames, *input shape) for int and dataflow.
        cache: folder of compiled models, stored by content and shared between builds.
        rtl_frames, qonnx_frames, netlist_frames: how many of them the slow rungs run.
        stall: chance per cycle that a side of the RTL or the netlist stalls.
        seed: of the stalls.
        measuring: the build is being made: the cycles of its frames are its performance.
        observer: sees how far a rung is that can tell it.
    """

    folder: Path
    graph: IntegerGraph
    network: nn.Module | None
    frames: IntArray
    cache: Path
    rtl_frames: int = 100
    qonnx_frames: int = 1000
    netlist_frames: int = 5
    stall: float = 0.2
    seed: int = 0
    measuring: bool = False
    observer: Observer = SILENT
