"""A layer's wrapper read back: its blocks and the streams that join them.

A wrapper cuts the padding bits of TDATA off, joins blocks by streams, and adds zeros. Every
statement is accounted for: each stream has three wires, one source and one sink, as wide as both;
each net is driven once, by what it has to be.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from qdeploy.verify.memories.blocks import (
    CONFIG_BITS,
    EMBEDDED,
    LOADED,
    PROBES,
    Block,
    stream_ports,
    with_defaults,
)
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.memories.verilog import Instance, Module, Port

_SIGNALS = ("tdata", "tvalid", "tready")
_LINKS = ("config_in", "config_out")
_OWN = re.compile(r"(in|out)(\d+)")


@dataclass(frozen=True)
class Embedded:
    """A module made for this wrapper, between two ports of a block."""

    module: str
    instance: str
    nets: dict[str, str]


@dataclass(frozen=True)
class Wrapper:
    """What a wrapper holds.

    Args:
        blocks: in the order of the text.
        in_bits, out_bits: unpadded widths of its streams.
        embedded: modules of the wrapper's own.
    """

    blocks: tuple[Block, ...]
    in_bits: tuple[int, ...]
    out_bits: tuple[int, ...]
    embedded: tuple[Embedded, ...]

    def chain(self) -> list[Block]:
        """Blocks in a row from `in0` to `out0`, each with one input and one output.

        Raises:
            UnreadableError: they are joined otherwise.
        """
        by_source = {block.sources: block for block in self.blocks}
        found, stream = [], "in0"
        while stream != "out0":
            block = by_source.pop((stream,), None)
            if block is None or len(block.sinks) != 1:
                raise UnreadableError(f"no block in a row takes stream `{stream}`")
            found.append(block)
            stream = block.sinks[0]
        if by_source:
            raise UnreadableError("a block is in no row from input to output")
        return found


def read_wrapper(module: Module, inputs: int, outputs: int, *, loads: bool = False) -> Wrapper:
    """The blocks of a wrapper with so many streams in and out.

    Args:
        loads: the configuration stream writes its memories.

    Raises:
        UnreadableError: a net, a port or a width is not as a wrapper has it.
    """
    blocks, embedded = [], []
    for instance in module.instances:
        if instance.module.startswith(f"{module.name}_"):
            embedded.append(Embedded(instance.module, instance.name, instance.ports))
        else:
            blocks.append(_block(instance, loads=loads))
    streams = _streams(blocks, inputs, outputs)
    expected = _Expected(module, streams)
    expected.clocks()
    for index in range(inputs):
        expected.enters(f"in{index}", streams[f"in{index}"])
    for index in range(outputs):
        expected.leaves(f"out{index}", streams[f"out{index}"])
    for name, bits in streams.items():
        if not name.startswith("in") or not _OWN.fullmatch(name):
            expected.stream(name, bits)
    for block in blocks:
        expected.beside(block)
    expected.chain([block.links for block in blocks if block.links])
    expected.check()
    _check_embedded(blocks, embedded)
    return Wrapper(
        tuple(blocks),
        tuple(streams[f"in{index}"] for index in range(inputs)),
        tuple(streams[f"out{index}"] for index in range(outputs)),
        tuple(embedded),
    )


def _block(instance: Instance, *, loads: bool) -> Block:
    """A block, with the streams at its ports."""
    sources, sinks = stream_ports(instance.module)
    ports = dict(instance.ports)
    if (ports.pop("clk", ""), ports.pop("rst_n", "")) != ("ap_clk", "ap_rst_n"):
        raise UnreadableError(f"`{instance.name}` is not clocked and reset as the wrapper is")
    names = []
    for prefix in (*sources, *sinks):
        nets = [ports.pop(f"{prefix}_{signal}", "") for signal in _SIGNALS]
        stream = nets[0].removesuffix("_tdata")
        if nets != [f"{stream}_{signal}" for signal in _SIGNALS]:
            raise UnreadableError(f"port {prefix} of `{instance.name}` has nets of no one stream")
        names.append(stream)
    chained = loads and instance.module in LOADED
    links = tuple(ports.pop(name, "") for name in _LINKS) if chained else ()
    beside = {*PROBES.get(instance.module, {}), *(n for n, _ in EMBEDDED.get(instance.module, ()))}
    if ports != {name: name for name in beside}:
        raise UnreadableError(f"`{instance.name}` has other ports than `{instance.module}`")
    return Block(
        instance.module,
        instance.name,
        with_defaults(instance),
        tuple(names[: len(sources)]),
        tuple(names[len(sources) :]),
        links,
    )


def _streams(blocks: list[Block], inputs: int, outputs: int) -> dict[str, int]:
    """Bits of every stream; each has one source and one sink of one width."""
    made: dict[str, int] = {}
    read: dict[str, int] = {}
    ends: Counter[tuple[str, str]] = Counter()
    for block in blocks:
        for names, widths, side in (
            (block.sources, block.in_bits, read),
            (block.sinks, block.out_bits, made),
        ):
            for name, bits in zip(names, widths, strict=True):
                ends[name, "read" if side is read else "made"] += 1
                side[name] = bits
    twice = [name for (name, _), count in ends.items() if count > 1]
    if twice:
        raise UnreadableError(f"stream `{min(twice)}` has two ends of one kind")
    entries = {f"in{index}" for index in range(inputs)}
    exits = {f"out{index}" for index in range(outputs)}
    if {*read} - {*made} != entries or {*made} - {*read} != exits:
        raise UnreadableError("its streams are not those of its ports")
    for name in {*read} & {*made}:
        if read[name] != made[name]:
            raise UnreadableError(f"stream `{name}`: {made[name]} bits go into {read[name]}")
    return read | made


class _Expected:
    """Nets, drivers and ports a wrapper has to have, put together from its streams."""

    def __init__(self, module: Module, streams: dict[str, int]) -> None:
        self.module = module
        self.ports: dict[str, Port] = {}
        self.wires: dict[str, int] = {}
        self.drivers: dict[str, str] = {}

    def clocks(self) -> None:
        self.ports |= {"ap_clk": Port("input", 1), "ap_rst_n": Port("input", 1)}

    def enters(self, name: str, bits: int) -> None:
        port, whole = f"{name}_V", _padded(bits)
        self.ports[f"{port}_TDATA"] = Port("input", whole)
        self.ports[f"{port}_TVALID"] = Port("input", 1)
        self.ports[f"{port}_TREADY"] = Port("output", 1)
        self.stream(name, bits)
        self.drivers[f"{name}_tdata"] = f"{port}_TDATA[{bits - 1}:0]"
        self.drivers[f"{name}_tvalid"] = f"{port}_TVALID"
        self.drivers[f"{port}_TREADY"] = f"{name}_tready"
        if whole > bits:
            self.wires[f"unused_{name}"] = 1
            self.drivers[f"unused_{name}"] = f"&{{1'b0, {port}_TDATA[{whole - 1}:{bits}]}}"

    def leaves(self, name: str, bits: int) -> None:
        port, whole = f"{name}_V", _padded(bits)
        self.ports[f"{port}_TDATA"] = Port("output", whole)
        self.ports[f"{port}_TVALID"] = Port("output", 1)
        self.ports[f"{port}_TREADY"] = Port("input", 1)
        zeros = f"{{{{{whole - bits}{{1'b0}}}}, {name}_tdata}}"
        self.drivers[f"{port}_TDATA"] = zeros if whole > bits else f"{name}_tdata"
        self.drivers[f"{port}_TVALID"] = f"{name}_tvalid"
        self.drivers[f"{name}_tready"] = f"{port}_TREADY"

    def stream(self, name: str, bits: int) -> None:
        self.wires |= {f"{name}_tdata": bits, f"{name}_tvalid": 1, f"{name}_tready": 1}

    def beside(self, block: Block) -> None:
        for name, bits in PROBES.get(block.module, {}).items():
            self.ports[name] = Port("output", bits)
        for name, formula in EMBEDDED.get(block.module, ()):
            self.wires[name] = block.product(formula)

    def chain(self, links: list[tuple[str, ...]]) -> None:
        """The configuration chain goes through all blocks with memories, in their order."""
        if not links:
            return
        for name, direction in zip(_LINKS, ("input", "output"), strict=True):
            self.ports[name] = Port(direction, CONFIG_BITS)
        nets = [links[0][0], *(after for _, after in links)]
        ends = nets[0], nets[-1]
        if ends != _LINKS or len({*nets}) < len(nets) or nets[1:-1] != [a for a, _ in links[1:]]:
            raise UnreadableError("the configuration chain does not go through its blocks")
        self.wires |= dict.fromkeys(nets[1:-1], CONFIG_BITS)

    def check(self) -> None:
        for kind, expected, found in (
            ("port", self.ports, self.module.ports),
            ("wire", self.wires, self.module.wires),
            ("driver of", self.drivers, self.module.drivers),
        ):
            for name in sorted({*expected, *found}):
                if expected.get(name) != found.get(name):
                    raise UnreadableError(
                        f"{kind} `{name}` is {found.get(name)}, expected {expected.get(name)}"
                    )


def _check_embedded(blocks: list[Block], embedded: list[Embedded]) -> None:
    wanted = [EMBEDDED[block.module] for block in blocks if block.module in EMBEDDED]
    nets = [{"clk": "ap_clk"} | {name: name for name, _ in ports} for ports in wanted]
    if [one.nets for one in embedded] != nets or len(nets) > 1:
        raise UnreadableError("the module of its sums is not joined to the block")


def _padded(bits: int) -> int:
    return (bits + 7) // 8 * 8
