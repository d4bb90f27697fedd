"""Operations in another order, or without some.

A ReLU after a max-pool or repeated pixels goes before them: the same values, and they are codes.

    relu(max(x)) = max(relu(x))
    relu(repeated(x)) = repeated(relu(x))

A softmax at the end belongs to the loss where that has one of its own.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from qdeploy.tracing.operations import FloatGraph, Kind

_MOVED = (nn.MaxPool1d, nn.MaxPool2d, nn.Upsample)
_SUMS = frozenset({Kind.LAYER, Kind.NORM, Kind.ADD, Kind.ARITHMETIC})


def without_last(graph: FloatGraph) -> FloatGraph:
    """The graph without a softmax or sigmoid at its end."""
    last = next(one for one in graph.operations if one.name == graph.output)
    if last.kind is not Kind.LAST:
        return graph
    rest = tuple(one for one in graph.operations if one is not last)
    return without_last(replace(graph, operations=rest, output=last.inputs[0]))


def relu_before_pool(graph: FloatGraph) -> FloatGraph:
    """The graph with such pairs exchanged; their names stay."""
    known, readers = {one.name: one for one in graph.operations}, graph.readers()
    operations = list(graph.operations)
    output = graph.output
    for pool in graph.operations:
        after = readers[pool.name]
        if not isinstance(pool.module, _MOVED) or pool.name == output:
            continue
        before = known[pool.inputs[0]]
        if len(after) != 1 or after[0].kind is not Kind.RELU or before.kind not in _SUMS:
            continue
        if len(readers[before.name]) != 1:
            continue
        relu = after[0]
        # Each result keeps its place in the chain under the other's name.
        first = replace(relu, inputs=pool.inputs, shape=before.shape)
        second = replace(pool, inputs=(relu.name,), shape=pool.shape)
        place = operations.index(pool)
        operations[place] = first
        operations[operations.index(relu)] = second
        operations = [
            replace(
                one,
                inputs=tuple(
                    pool.name if name == relu.name and one is not second else name
                    for name in one.inputs
                ),
            )
            for one in operations
        ]
        output = pool.name if output == relu.name else output
    return replace(graph, operations=tuple(operations), output=output)
