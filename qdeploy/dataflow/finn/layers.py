"""FINN's layers that are made of the integer graph's nodes at once: no FINN pass infers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qdeploy.dataflow.finn.nodes import finn_type
from qdeploy.ir.integer_graph import DepthToSpace, Dilate, Tensor, Upsample


@dataclass(frozen=True)
class FinnLayer:
    """One of FINN's operators with the attributes of a node, not yet folded."""

    op: str
    attributes: dict[str, Any] = field(default_factory=dict)


def concatenation(parts: Sequence[Tensor]) -> FinnLayer:
    """Channels of several tensors, one after the other."""
    return FinnLayer(
        "StreamingConcat",
        {
            "SIMD": 1,
            "ChannelsPerStream": [part.shape[0] for part in parts],
            "inputDataTypes": [finn_type(part.dtype) for part in parts],
            "numInputVectors": [1, *parts[0].shape[1:]],
        },
    )


def enlargement(node: Upsample | Dilate | DepthToSpace, source: Tensor) -> FinnLayer:
    """What makes more pixels of a map; `source` is the node's input."""
    channels, height, width = source.shape
    common = {"NumChannels": channels, "SIMD": 1, "inputDataType": finn_type(source.dtype)}
    match node:
        case Upsample():
            down, right = node.factor
            sizes: dict[str, Any] = {
                "HI": height,
                "WI": width,
                "HO": height * down,
                "WO": width * right,
            }
            return FinnLayer("UpsampleNearestNeighbour", common | sizes)
        case Dilate():
            sizes = {"ImgDim": [height, width], "Stride": list(node.step)}
            return FinnLayer("FMPadding_Pixel", common | sizes)
    sizes = {"ImgDim": [height, width], "BlockSize": node.block}
    return FinnLayer("StreamingDepthToSpace", common | sizes)
