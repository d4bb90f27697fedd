"""Max-pooling, Flatten, and codes with steps pending, which become codes again.

quantizer -> ReLU -> convolution     the values after the steps are few: on one grid they have
                                     codes of their own, which thresholds on the first ones give
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import gcd, lcm

from onnx import NodeProto

from qdeploy.ir.integer_graph import Flatten, IntType, Tensor
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path, unique
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, expand
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.places import MOST_LEVELS
from qdeploy.lowering.integers.quant_nodes import MAX_BITS
from qdeploy.lowering.integers.quantize import add_max_pool, lower_threshold
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.steps import Placed, Pooled, at_each_place, direction, value_of

# More codes than this, and finding the grid of their values takes too long; of one channel, and of
# the sums of all channels together.
_MOST_CODES = 4096
_MOST_SUMS = 1 << 17


def lower_max_pool(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    """The largest value of each window: of codes at once, of sums after their quantizer."""
    attributes = attributes_of(node)
    kernel = tuple(attributes["kernel_shape"])
    stride = tuple(attributes.get("strides", (1,) * len(kernel)))
    pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
    plain = (
        len(kernel) == 2
        # Less than a window on each side: no window lies in the padding alone.
        and all(pad < kernel[axis % 2] for axis, pad in enumerate(pads))
        and not attributes.get("ceil_mode", 0)
        and all(d == 1 for d in attributes.get("dilations", ()))
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and sum(bool(name) for name in node.output) == 1
    )
    if not plain:
        raise refuse(
            node,
            "a max-pool with dilation, more padding than window, indices, or other than "
            "two dimensions",
            do="use MaxPool2d(kernel, stride, padding)",
        )
    pool = Pooled(
        module_path(node),
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        (pads[0], pads[1], pads[2], pads[3]),
    )
    count = builder.tensors[value.tensor].shape[0]
    rises = all(g * direction(value.steps, c) > 0 for c, g in enumerate(expand(value.gain, count)))
    pooled = any(isinstance(step, Pooled | Placed) for step in value.steps)
    if builder.is_accumulator(value.tensor) or not rises or pooled:
        return value.then(pool)
    # What rises everywhere commutes with a maximum, steps that are pending too.
    source = None if value.steps else node.output[0]
    output = add_max_pool(builder, pool, value.tensor, source)
    return AffineTensor(output, value.gain, value.offset, value.steps)


def lower_flatten(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    """Channels become elements; one map per channel is repeated."""
    if any(isinstance(step, Pooled) for step in value.steps):
        value = settled(builder, node, value)
    source = builder.tensors[value.tensor]
    if len(source.shape) == 1:
        return value
    if builder.is_accumulator(value.tensor):
        raise refuse(node, "a Flatten before the quantizer", do="flatten after the activation")
    layer = module_path(node)
    tensor = Tensor(
        f"{layer}.flat", (source.size,), source.dtype, source.lo, source.hi, source.scale
    )
    output = builder.add_tensor(tensor, node.output[0])
    builder.nodes.append(
        Flatten(builder.node_name(layer, "flatten"), layer, (value.tensor,), output)
    )
    per_channel = value.repeated(source.size // source.shape[0])
    return AffineTensor(output, per_channel.gain, per_channel.offset, per_channel.steps)


def settled(
    builder: Builder,
    node: NodeProto,
    value: AffineTensor,
    name: str | None = None,
    *,
    sums: bool = False,
) -> AffineTensor:
    """The value with no steps and no offset, if it can be: what steps make of codes, as codes.

    Codes whose values after the steps lie on no grid are left as they are, and so are sums of a
    layer, but for `sums` where they are few.

    Args:
        node: that made the value.
        name: of the codes, where another node reads them only.
    """
    of_layer = builder.is_accumulator(value.tensor)
    if (of_layer and not sums) or not (value.steps or any(value.offset)):
        return value
    source = builder.tensors[value.tensor]
    count = source.hi - source.lo
    if count * source.shape[0] > _MOST_SUMS if of_layer else count > _MOST_CODES:
        return value
    gains, offsets = value.expanded(source.shape[0])
    places = at_each_place(value.steps)
    if len(places) > 1 and len(places) * count > MOST_LEVELS:
        return value
    rows: list[set[Fraction]] = []
    for channel, (gain, offset) in enumerate(zip(gains, offsets, strict=True)):
        found = set()
        for steps, code in product(places, range(source.lo, source.hi + 1)):
            exact = value_of(steps, channel, gain * code + offset)
            if exact is None:
                return value
            found.add(exact)
        rows.append(found)
    units, codes = _grid([set().union(*rows)])
    if IntType.holding(min(codes), max(codes)).bits > MAX_BITS:
        units, codes = _grid(rows)
    lo, hi = min(codes), max(codes)
    dtype = IntType.holding(lo, hi)
    if dtype.bits > MAX_BITS:
        return value
    quantizers = [Quantizer(unit, lo, hi) for unit in units]
    result = lower_threshold(builder, node, value, quantizers, dtype, units)
    if name is not None and builder.sources.get(result.tensor) == node.output[0]:
        del builder.sources[result.tensor]
        return replace(result, tensor=builder.rename(result.tensor, unique(name, builder.tensors)))
    return result


def _grid(rows: list[set[Fraction]]) -> tuple[Fractions, list[int]]:
    """For each set of values the largest unit they are multiples of; the multiples, 0 and 1."""
    units, codes = [], [0, 1]
    for values in rows:
        unit = Fraction(1, lcm(*(v.denominator for v in values)))
        unit *= gcd(*(int(v / unit) for v in values)) or 1
        units.append(unit)
        codes += [int(v / unit) for v in values]
    return tuple(units), codes
