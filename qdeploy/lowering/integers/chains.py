"""Thresholds of codes that thresholds make: one table.

    code = b + #{k : n >= T_k},  code >= t  <=>  n >= T_(t - b)     always for t <= b, else never

so a quantizer, a clip, a ReLU or a truncation behind a quantizer costs nothing. Codes that anything
else reads stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdeploy.ir.integer_graph import IntArray, Threshold
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.thresholds import code_bounds


def join_thresholds(builder: Builder, output: str) -> None:
    """Join each Threshold with the one before it whose codes nothing else reads.

    Args:
        output: of the graph, which stays.
    """
    readers: dict[str, int] = {}
    for node in builder.nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    makers = {node.output: node for node in builder.nodes}
    gone: set[str] = set()
    for node in builder.nodes:
        if not isinstance(node, Threshold):
            continue
        first = makers.get(node.inputs[0])
        if not isinstance(first, Threshold) or first.output == output:
            continue
        if readers[first.output] > 1:
            continue
        interval = builder.channel_intervals(first.inputs[0])
        joined = replace(node, inputs=first.inputs, thresholds=_table(first, node, interval))
        makers[node.output] = joined
        gone.add(first.output)
        lo, hi = code_bounds(joined.thresholds, joined.base, interval)
        builder.tensors[node.output] = replace(builder.tensors[node.output], lo=lo, hi=hi)
        builder.affine.pop(node.output, None)
    builder.nodes = [makers[node.output] for node in builder.nodes if node.output not in gone]
    for name in gone:
        for table in (builder.tensors, builder.sources, builder.affine):
            table.pop(name, None)


def _table(first: Threshold, second: Threshold, interval: Intervals) -> IntArray:
    """Thresholds (channels, levels of the second) of what goes into the first."""
    levels = first.thresholds.shape[1]
    lo, hi = (np.array(end, dtype=np.int64)[:, None] for end in (interval.lo, interval.hi))
    whole = np.concatenate([lo, first.thresholds, hi + 1], axis=1)
    places = np.clip(second.thresholds - first.base, 0, levels + 1)
    return np.take_along_axis(whole, places, axis=1)
