"""A hardware layer as Verilog: a wrapper with FINN's port names around blocks of `hw/rtl`.

    in<i>_V (AXI-Stream, bytes)  ->  blocks joined by streams  ->  out<j>_V (AXI-Stream, bytes)

The wrapper cuts the padding bits of TDATA off on the way in and adds zeros on the way out; it has
no logic of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from qdeploy.dataflow.rtl.library import closure
from qdeploy.design.loading import Load
from qdeploy.errors import InternalError

Memories = Callable[[], Mapping[str, list[str]]]

# A link of the configuration chain: restart, valid, a byte (hw/rtl/qd_load.v).
CONFIG_BITS = 10
CONFIG_IN, CONFIG_OUT = "config_in", "config_out"


@dataclass(frozen=True)
class EmbeddedModule:
    """A module made for one layer that works between two ports of its block.

    It has the port clk, and the block's two ports under the block's own names for them.

    Args:
        source_port: the block's output that feeds it, (name, bits).
        sink_port: the block's input that it drives, (name, bits).
        verilog: gives the text of the module of a name.
        modules: of `hw/rtl` that the text instantiates.
    """

    source_port: tuple[str, int]
    sink_port: tuple[str, int]
    verilog: Callable[[str], str]
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A module of `hw/rtl` with its parameters.

    Args:
        module: module name; its file is `<module>.v`.
        parameters: integers, or strings for file names and styles.
        in_bits, out_bits: unpadded widths of its streams. One stream has the ports `s_*` or `m_*`,
            several have `s0_*`, `s1_*`, … or `m0_*`, `m1_*`, ….
        probes: further output ports of the module that the wrapper passes through, with widths.
        controls: the same for input ports.
        embedded: a module of the layer's own on two of its ports.
        facts: what the cost of the block depends on in addition to its parameters.
        loads: its memories that the configuration stream writes, in the order of its chain; with
            any, it has the ports `config_in` and `config_out`.
    """

    module: str
    parameters: Mapping[str, int | str]
    in_bits: tuple[int, ...]
    out_bits: tuple[int, ...]
    probes: Mapping[str, int] = field(default_factory=dict)
    controls: Mapping[str, int] = field(default_factory=dict)
    embedded: EmbeddedModule | None = None
    facts: Mapping[str, int] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()

    @property
    def measures(self) -> dict[str, int | str]:
        """What its cost depends on."""
        loaded = {}
        if self.loads:
            bits = sum(8 * load.word_bytes for load in self.loads)
            loaded = {"LOADS": len(self.loads), "LOAD_BITS": bits}
        return {**self.parameters, **self.facts, **loaded}


@dataclass(frozen=True)
class Instance:
    """A block and the streams it is connected to, by name: `in0`, `out0` are the wrapper's."""

    block: Block
    sources: tuple[str, ...]
    sinks: tuple[str, ...]


@dataclass(frozen=True)
class Unit:
    """What a hardware layer consists of.

    Args:
        instances: blocks with their connections.
        memories: gives file name to lines (hexadecimal words) of the memory files; made when asked
            for, since a folding looks at thousands of units and writes one.
    """

    instances: tuple[Instance, ...]
    memories: Memories = dict

    @property
    def files(self) -> list[str]:
        """Names of the files of `hw/rtl` the unit needs."""
        modules = [instance.block.module for instance in self.instances]
        for instance in self.instances:
            if instance.block.embedded is not None:
                modules += instance.block.embedded.modules
        return closure(modules, loadable=bool(self.loads))

    @property
    def loads(self) -> list[Load]:
        """Its memories that the configuration stream writes, in the order of the chain."""
        return [load for instance in self.instances for load in instance.block.loads]

    @property
    def in_bits(self) -> list[int]:
        """Unpadded widths of the inputs."""
        return self._ends("in", [(i.sources, i.block.in_bits) for i in self.instances])

    @property
    def out_bits(self) -> list[int]:
        """Unpadded widths of the outputs."""
        return self._ends("out", [(i.sinks, i.block.out_bits) for i in self.instances])

    @staticmethod
    def _ends(prefix: str, sides: list[tuple[tuple[str, ...], tuple[int, ...]]]) -> list[int]:
        found = {
            name: bits
            for names, widths in sides
            for name, bits in zip(names, widths, strict=True)
            if name.startswith(prefix)
        }
        return [found[f"{prefix}{index}"] for index in range(len(found))]

    def verilog(self, module: str) -> str:
        """The wrapper's text, Verilog-2005, and that of modules made for it.

        Raises:
            InternalError: a stream's ends differ in width.
        """
        self._check(module)
        probes = {name: bits for i in self.instances for name, bits in i.block.probes.items()}
        ports = ["input  wire ap_clk", "input  wire ap_rst_n"]
        for index, bits in enumerate(self.in_bits):
            ports += [
                f"input  wire [{padded(bits) - 1}:0] in{index}_V_TDATA",
                f"input  wire in{index}_V_TVALID",
                f"output wire in{index}_V_TREADY",
            ]
        controls = {name: bits for i in self.instances for name, bits in i.block.controls.items()}
        ports += [f"input  wire [{bits - 1}:0] {name}" for name, bits in controls.items()]
        ports += [f"output wire [{bits - 1}:0] {name}" for name, bits in probes.items()]
        if self.loads:
            ports.append(f"input  wire [{CONFIG_BITS - 1}:0] {CONFIG_IN}")
            ports.append(f"output wire [{CONFIG_BITS - 1}:0] {CONFIG_OUT}")
        for index, bits in enumerate(self.out_bits):
            ports += [
                f"output wire [{padded(bits) - 1}:0] out{index}_V_TDATA",
                f"output wire out{index}_V_TVALID",
                f"input  wire out{index}_V_TREADY",
            ]
        head = ",\n".join(f"  {port}" for port in ports)
        lines = [f"module {module} (", head, ");", *self._wires()]
        made = []
        links = self._links()
        for index, instance in enumerate(self.instances):
            embedded = instance.block.embedded
            lines += _instance(instance, index, links.get(index))
            if embedded is not None:
                source, sink = embedded.source_port[0], embedded.sink_port[0]
                name = f"{module}_{sink}"
                ports_of = f".clk(ap_clk), .{source}({source}), .{sink}({sink})"
                lines.append(f"  {name} inside{index} ({ports_of});")
                made.append(embedded.verilog(name))
        return "\n".join([*lines, "endmodule", "", *made])

    def _links(self) -> dict[int, tuple[str, str]]:
        """By number of an instance, the two ends of its part of the configuration chain."""
        loading = [number for number, one in enumerate(self.instances) if one.block.loads]
        names = [CONFIG_IN, *(f"config_link{number}" for number in loading[1:]), CONFIG_OUT]
        return dict(zip(loading, pairwise(names), strict=True)) if loading else {}

    def _check(self, module: str) -> None:
        made = {f"in{index}": bits for index, bits in enumerate(self.in_bits)}
        for instance in self.instances:
            made |= dict(zip(instance.sinks, instance.block.out_bits, strict=True))
        for instance in self.instances:
            block = instance.block
            for name, bits in zip(instance.sources, block.in_bits, strict=True):
                if made[name] != bits:
                    raise InternalError(
                        f"`{module}`: stream `{name}` has {made[name]} bits, "
                        f"`{block.module}` takes {bits}"
                    )

    def _wires(self) -> Iterator[str]:
        for index, bits in enumerate(self.in_bits):
            name, port = f"in{index}", f"in{index}_V"
            yield f"  wire [{bits - 1}:0] {name}_tdata = {port}_TDATA[{bits - 1}:0];"
            yield f"  wire {name}_tvalid = {port}_TVALID;"
            yield f"  wire {name}_tready;"
            yield f"  assign {port}_TREADY = {name}_tready;"
            if padded(bits) > bits:
                high = f"{port}_TDATA[{padded(bits) - 1}:{bits}]"
                yield f"  wire unused_{name} = &{{1'b0, {high}}};  // padding carries nothing"
        for instance in self.instances:
            for name, bits in zip(instance.sinks, instance.block.out_bits, strict=True):
                yield f"  wire [{bits - 1}:0] {name}_tdata;"
                yield f"  wire {name}_tvalid, {name}_tready;"
            if instance.block.embedded is not None:
                for name, bits in (
                    instance.block.embedded.source_port,
                    instance.block.embedded.sink_port,
                ):
                    yield f"  wire [{bits - 1}:0] {name};"
        for source, _ in list(self._links().values())[1:]:
            yield f"  wire [{CONFIG_BITS - 1}:0] {source};"
        for index, bits in enumerate(self.out_bits):
            name, port = f"out{index}", f"out{index}_V"
            yield f"  assign {port}_TDATA = {_padded_value(f'{name}_tdata', bits)};"
            yield f"  assign {port}_TVALID = {name}_tvalid;"
            yield f"  assign {name}_tready = {port}_TREADY;"


def single(block: Block, memories: Memories = dict) -> Unit:
    """A unit of one block, its streams the wrapper's."""
    sources = tuple(f"in{index}" for index in range(len(block.in_bits)))
    sinks = tuple(f"out{index}" for index in range(len(block.out_bits)))
    return Unit((Instance(block, sources, sinks),), memories)


def chain(blocks: Sequence[Block], memories: Memories = dict) -> Unit:
    """A unit of blocks in a row, each with one input and one output."""
    names = ["in0", *(f"link{index}" for index in range(1, len(blocks))), "out0"]
    instances = tuple(
        Instance(block, (source,), (sink,))
        for block, (source, sink) in zip(blocks, pairwise(names), strict=True)
    )
    return Unit(instances, memories)


def padded(bits: int) -> int:
    """`bits` rounded up to whole bytes, as AXI-Stream wants TDATA."""
    return (bits + 7) // 8 * 8


def _padded_value(signal: str, bits: int) -> str:
    spare = padded(bits) - bits
    return f"{{{{{spare}{{1'b0}}}}, {signal}}}" if spare else signal


def _instance(instance: Instance, index: int, links: tuple[str, str] | None) -> list[str]:
    block = instance.block
    parameters = ", ".join(
        f'.{name}("{value}")' if isinstance(value, str) else f".{name}({value})"
        for name, value in block.parameters.items()
    )
    ports = [".clk(ap_clk)", ".rst_n(ap_rst_n)"]
    for letter, names in (("s", instance.sources), ("m", instance.sinks)):
        for number, name in enumerate(names):
            prefix = letter if len(names) == 1 else f"{letter}{number}"
            ports += [
                f".{prefix}_{signal}({name}_{signal})" for signal in ("tdata", "tvalid", "tready")
            ]
    ports += [f".{name}({name})" for name in (*block.controls, *block.probes)]
    if links is not None:
        ports += [f".{CONFIG_IN}({links[0]})", f".{CONFIG_OUT}({links[1]})"]
    if block.embedded is not None:
        ports += [
            f".{name}({name})" for name, _ in (block.embedded.source_port, block.embedded.sink_port)
        ]
    joined = ",\n    ".join(ports)
    return [f"  {block.module} #({parameters}) block{index} (\n    {joined}\n  );"]
