"""What every integer graph promises, checked node by node.

The lowering ends with this check, and whoever makes a graph by other means can call it: levels
below rely on these rules without asking again.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    IntegerGraph,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)

MOST_BITS = 32


def check_graph(graph: IntegerGraph) -> None:
    """Check order, names, shapes, intervals, types and thresholds of a graph.

    Raises:
        PassError: names the first node that breaks a rule, its layer, and the rule.
    """
    check_structure(graph)
    for node in graph.nodes:
        if isinstance(node, Threshold):
            table = node.thresholds  # compared, since a difference may overflow
            falling = (table[:, 1:] < table[:, :-1]).any(axis=1)
            if falling.any():
                channel = int(falling.argmax())
                raise _broken(node, f"the thresholds of channel {channel} do not ascend")


def check_structure(graph: IntegerGraph) -> None:
    """The part of `check_graph` that reads the shapes of arrays, but no value in them.

    Raises:
        PassError: names the first node that breaks a rule, its layer, and the rule.
    """
    for key, tensor in graph.tensors.items():
        problem = next(_tensor_problems(key, tensor), None)
        if problem is not None:
            raise PassError(f"tensor `{key}`: {problem}")
    if graph.input not in graph.tensors:
        raise PassError(f"the input `{graph.input}` is no tensor of the graph")
    known, names = {graph.input}, set()
    for node in graph.nodes:
        unknown = [name for name in node.inputs if name not in known]
        problem = f"it reads `{unknown[0]}` before it is made" if unknown else None
        if node.output in known:
            problem = f"`{node.output}` is made twice"
        if node.output not in graph.tensors:
            problem = f"`{node.output}` is no tensor of the graph"
        if node.name in names:
            problem = "another node has its name"
        problem = problem or next(_problems(graph, node), None)
        if problem is not None:
            raise _broken(node, problem)
        known.add(node.output)
        names.add(node.name)
    if graph.output not in known:
        raise PassError(f"nothing makes the output `{graph.output}`")
    problem = next(_preparation_problems(graph), None)
    if problem is not None:
        raise PassError(f"the preparation of the input: {problem}")
    channels = graph.tensors[graph.logits].shape[0]
    for kind, values in (("gains", graph.head.gain), ("offsets", graph.head.offset)):
        if len(values) not in (1, channels):
            raise PassError(f"{len(values)} {kind} for logits of {channels} channels")
    total = sum(part.channels for part in graph.head.parts)
    if graph.head.parts and total != channels:
        raise PassError(f"outputs of {total} channels together for logits of {channels}")


def _preparation_problems(graph: IntegerGraph) -> Iterator[str]:
    """Where it does not give the codes that the graph takes."""
    found, source = graph.preparation, graph.tensors[graph.input]
    if found is None:
        return
    if found.code_shape != source.shape:
        yield f"it gives frames of {found.code_shape}, not {source.shape}"
    if (found.lo, found.hi) != (source.lo, source.hi):
        yield f"it gives codes from {found.lo} to {found.hi}, not {source.lo} to {source.hi}"
    if found.scale != source.scale:
        yield f"its codes have the scale {found.scale}, not {source.scale}"


def _broken(node: Node, problem: str) -> PassError:
    return PassError(
        f"layer `{node.layer}`: {problem}", where=f"node `{node.name}` ({type(node).__name__})"
    )


def _tensor_problems(key: str, tensor: Tensor) -> Iterator[str]:
    if tensor.name != key:
        yield f"it is called `{tensor.name}` itself"
    if min(tensor.shape, default=0) < 1:
        yield f"its shape {tensor.shape} has no elements"


def _problems(graph: IntegerGraph, node: Node) -> Iterator[str]:
    inputs = [graph.tensors[name] for name in node.inputs]
    output = graph.tensors[node.output]
    most = {Add: 2, Concat: len(inputs)}.get(type(node), 1)
    if len(inputs) != most or (isinstance(node, Concat) and most < 2):
        yield f"it has {len(inputs)} inputs"
        return
    yield from _window_problems(node)
    expected = _joined(inputs) if isinstance(node, Concat) else _shape(node, inputs[0])
    if expected != output.shape:
        yield f"{inputs[0].shape} becomes {expected}, not {output.shape}"
    for tensor in (*inputs, output):
        if not tensor.dtype.lo <= tensor.lo <= tensor.hi <= tensor.dtype.hi:
            yield f"its codes [{tensor.lo}, {tensor.hi}] do not fit {tensor.dtype.bits} bits"
    if output.dtype.bits > MOST_BITS:
        yield f"it needs {output.dtype.bits} bits, more than {MOST_BITS}"
    if isinstance(node, Add) and inputs[0].shape != inputs[1].shape:
        yield f"its two inputs have different shapes ({inputs[0].shape} and {inputs[1].shape})"
    if isinstance(node, Bias) and node.bias.shape != inputs[0].shape[:1]:
        yield f"a bias of shape {node.bias.shape} for {inputs[0].shape[0]} channels"
    if isinstance(node, Threshold):
        yield from _threshold_problems(node, inputs[0], output)


def _window_problems(node: Node) -> Iterator[str]:
    """Windows that no arithmetic on sizes may meet: `_shape` divides by the stride."""
    if isinstance(node, Conv):
        sizes = (*node.weights.shape, *node.stride, *node.dilation, node.groups)
    elif isinstance(node, MaxPool):
        sizes = (*node.kernel, *node.stride)
    elif isinstance(node, Upsample | Dilate | DepthToSpace):
        if min(_enlarges(node)) < 1:
            yield "a factor, step or block is out of range"
        return
    else:
        return
    if min(sizes) < 1 or min(node.pads) < 0:
        yield "a kernel, stride, dilation or padding is out of range"


def _enlarges(node: Upsample | Dilate | DepthToSpace) -> tuple[int, int]:
    if isinstance(node, DepthToSpace):
        return node.block, node.block
    return node.factor if isinstance(node, Upsample) else node.step


def _threshold_problems(node: Threshold, source: Tensor, output: Tensor) -> Iterator[str]:
    if len(node.thresholds) != source.shape[0]:
        yield f"{len(node.thresholds)} rows of thresholds for {source.shape[0]} channels"
    if not output.dtype.lo <= node.base <= node.base + node.thresholds.shape[1] <= output.dtype.hi:
        yield f"its codes from {node.base} on do not fit {output.dtype.bits} bits"


def _joined(inputs: list[Tensor]) -> tuple[int, ...] | None:
    """The shape of a Concat, None where the sizes of its maps differ."""
    channels, rest = sum(one.shape[0] for one in inputs), inputs[0].shape[1:]
    return (channels, *rest) if all(one.shape[1:] == rest for one in inputs) else None


def _shape(node: Node, source: Tensor) -> tuple[int, ...] | None:
    """The shape a node makes of its first input, None where it takes no such input."""
    shape = source.shape
    if isinstance(node, Flatten):
        return (source.size,)
    if isinstance(node, ArgMax):
        return (1, *shape[1:])
    if isinstance(node, Add | Threshold | Bias):
        return shape
    if isinstance(node, Dense):
        return node.weights.shape[:1] if shape == node.weights.shape[1:] else None
    if len(shape) != 3:
        return None
    if isinstance(node, GlobalSum):
        return shape[:1]
    if isinstance(node, Upsample):
        return (shape[0], shape[1] * node.factor[0], shape[2] * node.factor[1])
    if isinstance(node, Dilate):
        return (shape[0], (shape[1] - 1) * node.step[0] + 1, (shape[2] - 1) * node.step[1] + 1)
    if isinstance(node, DepthToSpace):
        channels, rest = divmod(shape[0], node.block**2)
        return None if rest else (channels, shape[1] * node.block, shape[2] * node.block)
    if isinstance(node, MaxPool):
        return (shape[0], *_windows(shape, node.kernel, node.stride, node.pads, (1, 1)))
    if isinstance(node, Conv):
        out_channels, inputs, *kernel = node.weights.shape
        if inputs * node.groups != shape[0] or node.groups not in (1, shape[0]):
            return None
        sizes = _windows(shape, (kernel[0], kernel[1]), node.stride, node.pads, node.dilation)
        return (out_channels, *sizes)
    return None


def _windows(
    shape: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    height, width = (
        (shape[1 + axis] + pads[axis] + pads[axis + 2] - dilation[axis] * (kernel[axis] - 1) - 1)
        // stride[axis]
        + 1
        for axis in range(2)
    )
    return height, width
