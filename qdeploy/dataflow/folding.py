"""Folding: how parallel each layer is.

A matrix unit takes (MW / SIMD) · (MH / PE) cycles for each input vector; PE divides MH, SIMD
divides MW. What moves data takes one cycle a beat, `channels / SIMD` beats a pixel. The slowest
layer sets the frame rate, so for a given number of cycles every layer gets the smallest folding
that is fast enough. "As fast as fits" bisects the number of cycles against the board's budget.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow import cost
from qdeploy.dataflow.requantization import REQUANTIZE, thresholds_of
from qdeploy.errors import DoesNotFitError, FoldingError

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

# Share of the board's LUTs the estimate may fill: the estimate is coarse and Vivado needs room.
LUT_SHARE = 0.6
MEMORY_SHARE = 0.85
WINDOW_LUT_WORDS = 64
# An estimate this far above the board is beyond doubt.
HOPELESS = 1.5
_MOVERS = ("FMPadding", "ConvolutionInputGenerator")


@dataclass(frozen=True)
class Budget:
    """What a board offers: slice LUTs, BRAM36, DSP blocks."""

    lut: int
    bram36: int
    dsp: int

    def holds(self, need: cost.Cost) -> bool:
        """Whether an estimate stays within the shares kept for it."""
        return (
            need.lut <= LUT_SHARE * self.lut
            and need.bram36 <= MEMORY_SHARE * self.bram36
            and need.dsp <= MEMORY_SHARE * self.dsp
        )


@dataclass(frozen=True)
class Choice:
    """One legal folding of one layer: attributes to set, cycles a frame, estimated cost.

    `searched` is the same folding with thresholds searched for, where this one multiplies.
    """

    attributes: dict[str, int]
    cycles: int
    cost: cost.Cost
    searched: Choice | None = None


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def fold(
    model: ModelWrapper, budget: Budget, cycles: int | None = None
) -> dict[str, dict[str, int]]:
    """Set the folding of every layer, in place; returns it by layer name.

    Args:
        model: specialized hardware layers.
        cycles: cycles a frame may take; None asks for as few as the budget allows.

    Raises:
        FoldingError: no folding is that fast, or not even the slowest fits.
        DoesNotFitError: at that rate the estimate is far beyond the board.
    """
    from qonnx.custom_op.registry import getCustomOp

    menu = {node.name: choices(model, node) for node in model.graph.node}
    groups = _groups(model)
    if cycles is None:
        cycles = _fewest_cycles(menu, groups, budget)
    else:
        _refuse_hopeless(menu, groups, budget, cycles)
    picked = _assign(menu, groups, budget, cycles)
    for node in model.graph.node:
        inst = getCustomOp(node)
        for key, value in picked[node.name].attributes.items():
            inst.set_nodeattr(key, value)
    return {name: choice.attributes for name, choice in picked.items()}


@dataclass(frozen=True)
class _Group:
    """Layers that only move pixels, and the layer they feed.

    They share one number of channels a beat: the consumer's where that is possible, so that no
    width converter is needed. A pool or depthwise unit has to share it: its window comes channel
    by channel.
    """

    movers: tuple[str, ...]
    consumer: str
    consumer_key: str
    bound: bool


def _groups(model: ModelWrapper) -> list[_Group]:
    groups = []
    for node in model.graph.node:
        if node.op_type.startswith(_MOVERS):
            continue
        movers = []
        source = model.find_producer(node.input[0])
        while source is not None and source.op_type.startswith(_MOVERS):
            movers.append(source.name)
            source = model.find_producer(source.input[0])
        bound = node.op_type.startswith(("Pool", "VVAU"))
        if movers:
            groups.append(_Group(tuple(movers), node.name, "PE" if bound else "SIMD", bound))
    return groups


def _assign(
    menu: dict[str, list[Choice]], groups: list[_Group], budget: Budget, cycles: int
) -> dict[str, Choice]:
    """The smallest choice of each layer that is fast enough, movers in step with their consumer."""
    picked = {name: _smallest(name, options, cycles) for name, options in menu.items()}
    for group in groups:
        members = [*group.movers, *([group.consumer] if group.bound else [])]
        by_size = [
            {next(iter(o.attributes.values())): o for o in menu[name] if o.cycles <= cycles}
            for name in members
        ]
        common = sorted(set.intersection(*(set(sizes) for sizes in by_size)))
        wanted = picked[group.consumer].attributes[group.consumer_key]
        size = wanted if wanted in common else common[0]
        for name, sizes in zip(members, by_size, strict=True):
            picked[name] = sizes[size]
    return _spare_dsp(picked, budget)


def _spare_dsp(picked: dict[str, Choice], budget: Budget) -> dict[str, Choice]:
    """Search instead of multiplying where DSP blocks run out, the most DSP blocks first."""
    spared = dict(picked)
    total = sum(choice.cost.dsp for choice in picked.values())
    gains = {
        name: choice.cost.dsp - choice.searched.cost.dsp
        for name, choice in picked.items()
        if choice.searched is not None
    }
    for name in sorted(gains, key=lambda name: -gains[name]):
        searched = picked[name].searched
        if total > MEMORY_SHARE * budget.dsp and gains[name] and searched is not None:
            spared[name] = searched
            total -= gains[name]
    return spared


def _smallest(name: str, options: list[Choice], cycles: int) -> Choice:
    enough = [option for option in options if option.cycles <= cycles]
    if not enough:
        fastest = min(option.cycles for option in options)
        raise FoldingError(
            f"layer `{name}` cannot finish a frame within {cycles} cycles",
            why=f"its most parallel folding takes {fastest}",
            do="ask for fewer frames per second, or leave the rate out: as fast as fits",
        )
    return min(enough, key=lambda option: (option.cost.dsp * 50 + option.cost.lut, option.cycles))


def _fewest_cycles(menu: dict[str, list[Choice]], groups: list[_Group], budget: Budget) -> int:
    floor = max(min(option.cycles for option in options) for options in menu.values())
    steps = {o.cycles for options in menu.values() for o in options if o.cycles >= floor}
    candidates = sorted(steps | {floor})
    low, high = 0, len(candidates) - 1
    slowest = _total(menu, groups, budget, candidates[high])
    if not budget.holds(slowest):
        raise FoldingError(
            "not even the slowest folding is estimated to fit the board",
            why=f"it needs about {round(slowest.lut)} LUTs and {slowest.bram36} BRAM36",
            do="choose a larger board or a smaller network",
        )
    while low < high:
        middle = (low + high) // 2
        if budget.holds(_total(menu, groups, budget, candidates[middle])):
            high = middle
        else:
            low = middle + 1
    return candidates[low]


def _refuse_hopeless(
    menu: dict[str, list[Choice]], groups: list[_Group], budget: Budget, cycles: int
) -> None:
    """Say so before synthesis spends its time on a design far larger than the board."""
    picked = _assign(menu, groups, budget, cycles)
    need = _total(menu, groups, budget, cycles)
    if need.lut <= HOPELESS * budget.lut and need.dsp <= HOPELESS * budget.dsp:
        return
    biggest = sorted(picked, key=lambda name: picked[name].cost.lut, reverse=True)[:3]
    raise DoesNotFitError(
        f"at {cycles} cycles a frame the design needs about {need.lut:,.0f} LUTs and "
        f"{need.dsp} DSPs; the board has {budget.lut:,} and {budget.dsp}",
        where="biggest layers: "
        + "; ".join(f"{name} {picked[name].attributes}" for name in biggest),
        do=f"ask for {_fewest_cycles(menu, groups, budget)} cycles a frame or more, or leave the "
        "rate out: as fast as fits",
    )


def _total(
    menu: dict[str, list[Choice]], groups: list[_Group], budget: Budget, cycles: int
) -> cost.Cost:
    total = cost.Cost()
    for choice in _assign(menu, groups, budget, cycles).values():
        total += choice.cost
    return total


def choices(model: ModelWrapper, node: NodeProto) -> list[Choice]:
    """Every legal folding of a layer."""
    from qonnx.custom_op.registry import getCustomOp

    inst = getCustomOp(node)
    found: Iterable[dict[str, int]]
    if node.op_type.startswith("MVAU"):
        found = _matrix(model, node, inst)
    else:
        key, channels = _channels(node, inst)
        found = ({key: size} for size in divisors(channels))
    return [_choice(model, node, inst, attributes) for attributes in found]


def _choice(model: ModelWrapper, node: NodeProto, inst: Any, attributes: dict[str, int]) -> Choice:
    """One folding; where the layer can multiply or search for its codes, with both ways."""
    for key, value in attributes.items():
        inst.set_nodeattr(key, value)
    cycles = int(inst.get_exp_cycles())
    if not (thresholds_of(model, node) is not None and inst.has_fixed_point()):
        return Choice(attributes, cycles, _cost(model, node, inst))
    ways = []
    for way in (0, 1):
        inst.set_nodeattr(REQUANTIZE, way)
        ways.append(Choice(attributes | {REQUANTIZE: way}, cycles, _cost(model, node, inst)))
    return replace(ways[1], searched=ways[0])


def _channels(node: NodeProto, inst: Any) -> tuple[str, int]:
    for prefix, key, size in (
        ("ConvolutionInputGenerator", "SIMD", "IFMChannels"),
        ("FMPadding", "SIMD", "NumChannels"),
        ("Pool", "PE", "Channels"),
        ("LabelSelect", "PE", "Labels"),
        ("Thresholding", "PE", "NumChannels"),
        ("DuplicateStreams", "PE", "NumChannels"),
        ("GlobalAccPool", "PE", "NumChannels"),
        ("VVAU", "PE", "Channels"),
    ):
        if node.op_type.startswith(prefix):
            return key, int(inst.get_nodeattr(size))
    return "PE", int(inst.get_nodeattr("out_shape")[-1])


def _matrix(model: ModelWrapper, node: NodeProto, inst: Any) -> Iterable[dict[str, int]]:
    rows, columns = int(inst.get_nodeattr("MH")), int(inst.get_nodeattr("MW"))
    channels = _input_channels(model, node, columns)
    for simd in divisors(columns):
        # Whole pixels or parts of one, so that the width converter stays a plain multiple.
        if channels % simd and simd % channels:
            continue
        for pe in divisors(rows):
            yield {"SIMD": simd, "PE": pe}


def _input_channels(model: ModelWrapper, node: NodeProto, columns: int) -> int:
    shape = model.get_tensor_shape(node.input[0])
    producer = model.find_producer(node.input[0])
    if producer is not None and producer.op_type.startswith("ConvolutionInputGenerator"):
        before = model.get_tensor_shape(producer.input[0])
        return int(before[-1])
    return int(shape[-1]) if shape else columns


def _cost(model: ModelWrapper, node: NodeProto, inst: Any) -> cost.Cost:
    between = cost.stream(int(inst.get_instream_width(0)) + int(inst.get_outstream_width(0)))
    if node.op_type.startswith("MVAU"):
        return between + _matrix_cost(model, node, inst)
    if node.op_type.startswith("ConvolutionInputGenerator"):
        width = int(inst.get_instream_width())
        kernel, dilation = inst.get_nodeattr("ConvKernelDim"), inst.get_nodeattr("Dilation")
        fold = int(inst.get_nodeattr("IFMChannels")) // int(inst.get_nodeattr("SIMD"))
        rows = int(dilation[0]) * (int(kernel[0]) - 1) + 2
        words = rows * int(inst.get_nodeattr("IFMDim")[1]) * fold
        return between + cost.window_unit(
            width=width, words=words, distributed=words <= WINDOW_LUT_WORDS
        )
    if node.op_type.startswith("VVAU"):
        return between + _depthwise_cost(model, node, inst)
    if node.op_type.startswith("Thresholding"):
        lanes, channels = int(inst.get_nodeattr("PE")), int(inst.get_nodeattr("NumChannels"))
        return between + _codes_cost(model, node, inst, lanes, channels)
    return between + cost.Cost(60)


def _depthwise_cost(model: ModelWrapper, node: NodeProto, inst: Any) -> cost.Cost:
    pe, channels = int(inst.get_nodeattr("PE")), int(inst.get_nodeattr("Channels"))
    kernel = inst.get_nodeattr("Kernel")
    depth = int(kernel[0] * kernel[1]) * channels // pe
    sums = _sums_cost(model, inst, lanes=pe, pe=pe, depth=depth, block_rom=False)
    return sums + _codes_cost(model, node, inst, pe, channels)


def _matrix_cost(model: ModelWrapper, node: NodeProto, inst: Any) -> cost.Cost:
    pe, simd = int(inst.get_nodeattr("PE")), int(inst.get_nodeattr("SIMD"))
    rows, block_rom = int(inst.get_nodeattr("MH")), inst.ram_style() == "block"
    depth = int(inst.get_nodeattr("MW")) * rows // (pe * simd)
    sums = _sums_cost(model, inst, lanes=pe * simd, pe=pe, depth=depth, block_rom=block_rom)
    return sums + _codes_cost(model, node, inst, pe, rows)


def _sums_cost(
    model: ModelWrapper, inst: Any, *, lanes: int, pe: int, depth: int, block_rom: bool
) -> cost.Cost:
    return cost.matrix_unit(
        lanes=lanes,
        pe=pe,
        depth=depth,
        weight_bits=inst.weight_bits(model),
        activation_bits=int(inst.get_input_datatype(0).bitwidth()),
        accumulator_bits=inst.accumulator_bits(model),
        planes=inst.dot(model) != "mult",
        dsp=inst.uses_dsp(),
        block_rom=block_rom,
    )


def _codes_cost(
    model: ModelWrapper, node: NodeProto, inst: Any, pe: int, channels: int
) -> cost.Cost:
    """What makes the codes of a layer's sums: multiplied, searched, compared, or nothing."""
    table = thresholds_of(model, node)
    if table is None:
        return cost.Cost()
    fixed = inst.fixed_point(model)
    bits = inst.accumulator_bits(model)
    if fixed is None:
        return cost.thresholds(pe=pe, bits=bits, levels=table.shape[1], channels=channels)
    return cost.requantizer(
        pe=pe,
        channels=channels,
        accumulator_bits=bits,
        multiplier_bits=fixed.multiplier_bits,
        bias_bits=fixed.bias_bits,
        out_bits=int(inst.get_output_datatype().bitwidth()),
    )
