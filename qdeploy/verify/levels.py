"""What the rungs of the ladder run on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.ir.integer_graph import IntArray, IntegerGraph

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Levels:
    """Everything the rungs run on.

    Args:
        build: the build folder.
        graph: the integer graph lowered from the build's QONNX file.
        network: the trained network, None when only a QONNX file is at hand.
        frames: input codes (frames, *input shape) for int and dataflow.
        cache: folder of compiled models, kept by content between builds.
        rtl_frames, qonnx_frames, netlist_frames: how many of them the slow rungs run.
        stall: chance that a side of the RTL or the netlist stalls in a cycle.
        seed: of the stalls.
    """

    build: Path
    graph: IntegerGraph
    network: nn.Module | None
    frames: IntArray
    cache: Path
    rtl_frames: int = 100
    qonnx_frames: int = 1000
    netlist_frames: int = 5
    stall: float = 0.2
    seed: int = 0
