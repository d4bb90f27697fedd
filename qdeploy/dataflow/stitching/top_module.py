"""The top module of a design: layers joined by streams, AXI-Stream in and out, taps for simulation.

Every stream becomes three wires named after its number; a layer's instance is `<layer>_i`. With the
macro QD_TAPS the module has further ports: `<tap>_tdata/_tvalid/_tready` for each watched stream,
and one fill for each FIFO. A FIFO of limited depth, for simulation, has a port for its limit.

Where memories are loadable, a chain goes through their layers (wires `c0`, `c1`, …), from the head
`qd_config` back to it; the head holds frames back while an image is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from qdeploy.dataflow.finn.names import identifier
from qdeploy.dataflow.rtl.unit import CONFIG_BITS, CONFIG_IN, CONFIG_OUT, Unit, padded
from qdeploy.design.loading import CONFIG_PORTS, Loading
from qdeploy.design.manifest import Connection, End, Stream
from qdeploy.errors import PassError

FILL_BITS = 16
# Ports of the top: where frames come in and where results go out.
SOURCE, SINK = "s_axis", "m_axis"
# The module at the head of the configuration chain.
HEAD = "qd_config"


@dataclass(frozen=True)
class Frame:
    """Beats of a frame at the design's input and at its output."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class Ports:
    """A layer and the streams at its ports, in port order.

    Args:
        module: name of its wrapper module.
        unit: what it consists of.
        inputs, outputs: names of the streams.
        fill: name of the top's port for a FIFO's fill, None for what is no FIFO.
        limit: name of the top's port for its limit, None where the depth is fixed.
    """

    module: str
    unit: Unit
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fill: str | None = None
    limit: str | None = None


@dataclass(frozen=True)
class Wiring:
    """All layers of a design, the stream that comes in and the one that goes out."""

    layers: list[Ports]
    source: str
    sink: str

    @property
    def widths(self) -> dict[str, int]:
        """Unpadded width of every stream, as its producer (or the first consumer) has it."""
        found: dict[str, int] = {}
        for layer in self.layers:
            found |= dict(zip(layer.outputs, layer.unit.out_bits, strict=True))
        for layer in self.layers:
            for name, bits in zip(layer.inputs, layer.unit.in_bits, strict=True):
                found.setdefault(name, bits)
        return found

    @property
    def numbers(self) -> dict[str, int]:
        """Number of every stream, which names its wires in the top."""
        return {name: index for index, name in enumerate(self.widths)}

    def loading(self) -> Loading | None:
        """What the configuration stream writes; None where nothing is loadable."""
        layers = [layer for layer in self.layers if layer.unit.loads]
        loads = [load for layer in layers for load in layer.unit.loads]
        return Loading([layer.module for layer in layers], loads) if layers else None

    def connections(self, watched: Mapping[str, Stream]) -> list[Connection]:
        """The streams as the manifest has them, by number.

        Args:
            watched: stream name -> tap.
        """
        sources = {self.source: End("", SOURCE)}
        sinks = {self.sink: End("", SINK)}
        for layer in self.layers:
            for index, name in enumerate(layer.outputs):
                sources[name] = End(layer.module, f"out{index}")
            for index, name in enumerate(layer.inputs):
                sinks[name] = End(layer.module, f"in{index}")
        return [
            Connection(
                number,
                padded(bits),
                sources[name],
                sinks[name],
                watched[name].name if name in watched else None,
            )
            for number, (name, bits) in enumerate(self.widths.items())
        ]

    def check(self) -> None:
        """Every stream has one producer, one consumer, and the same width at both.

        Raises:
            PassError: one has not.
        """
        made = Counter([self.source, *(name for layer in self.layers for name in layer.outputs)])
        read = Counter([self.sink, *(name for layer in self.layers for name in layer.inputs)])
        for name in {*made, *read}:
            if made[name] != 1 or read[name] != 1:
                raise PassError(
                    f"stream `{name}` has {made[name]} producers and {read[name]} consumers"
                )
        widths = self.widths
        for layer in self.layers:
            for name, bits in zip(layer.inputs, layer.unit.in_bits, strict=True):
                if widths[name] != bits:
                    raise PassError(
                        f"stream `{name}` has {widths[name]} bits, `{layer.module}` takes {bits}"
                    )


def top_module(
    top: str, title: str, wiring: Wiring, watched: Mapping[str, Stream], frame: Frame
) -> str:
    """Verilog text of the top.

    Args:
        top: module name.
        title: of the network, for the header comment.
        watched: stream name -> tap.
        frame: TLAST marks its last beat.
    """
    loading = wiring.loading()
    widths = wiring.widths
    number = wiring.numbers
    source, sink = padded(widths[wiring.source]), padded(widths[wiring.sink])
    fills = [layer.fill for layer in wiring.layers if layer.fill]
    lines = [f"// {identifier(title)}: stitched from its layers.", f"module {top} ("]
    lines += [
        "  input  wire clk,",
        "  input  wire rst_n,",
        f"  input  wire [{source - 1}:0] s_axis_tdata,",
        "  input  wire s_axis_tvalid,",
        "  output wire s_axis_tready,",
        *(_declared(*port) for port in (CONFIG_PORTS if loading else ())),
        *(
            f"  input  wire [{FILL_BITS - 1}:0] {item.limit},"
            for item in wiring.layers
            if item.limit
        ),
        "`ifdef QD_TAPS",
    ]
    for tap in watched.values():
        lines.append(f"  output wire [{tap.width - 1}:0] {tap.name}_tdata,")
        lines.append(f"  output wire {tap.name}_tvalid, output wire {tap.name}_tready,")
    lines += [f"  output wire [{FILL_BITS - 1}:0] {fill}," for fill in fills]
    lines += [
        "`endif",
        f"  output wire [{sink - 1}:0] m_axis_tdata,",
        "  output wire m_axis_tvalid,",
        "  output wire m_axis_tlast,",
        "  input  wire m_axis_tready",
        ");",
    ]
    for name, index in number.items():
        lines.append(f"  wire [{padded(widths[name]) - 1}:0] d{index};  // {name}")
        lines.append(f"  wire v{index}, r{index};")
    entry, leave = number[wiring.source], number[wiring.sink]
    lines += [
        f"  assign d{entry} = s_axis_tdata;",
        f"  assign v{entry} = s_axis_tvalid{' & config_allow' if loading else ''};",
        f"  assign s_axis_tready = r{entry}{' & config_allow' if loading else ''};",
    ]
    if loading:
        lines += _head(loading, entry, frame)
    links: dict[str, int] = {}
    if loading:
        links = {module: index for index, module in enumerate(loading.modules)}
    for layer in wiring.layers:
        lines += _instance(layer, number, links.get(layer.module))
    lines += [
        f"  qd_tlast #(.WIDTH({sink}), .BEATS({frame.outputs})) frame_end (",
        "    .clk(clk), .rst_n(rst_n),",
        f"    .s_tdata(d{leave}), .s_tvalid(v{leave}), .s_tready(r{leave}),",
        "    .m_tdata(m_axis_tdata), .m_tvalid(m_axis_tvalid), .m_tready(m_axis_tready),",
        "    .m_tlast(m_axis_tlast));",
        *_taps(watched, fills, number),
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _declared(way: str, bits: int, name: str) -> str:
    width = f"[{bits - 1}:0] " if bits > 1 else ""
    return f"  {way:<6} wire {width}{name},"


def _head(loading: Loading, entry: int, frame: Frame) -> list[str]:
    """The head of the configuration chain, and the chain's wires."""
    last = len(loading.modules)
    return [
        *(f"  wire [{CONFIG_BITS - 1}:0] c{index};" for index in range(last + 1)),
        "  wire config_allow;",
        "  wire config_end = m_axis_tvalid & m_axis_tready & m_axis_tlast;",
        f"  {HEAD} #(.IN_BEATS({frame.inputs}), .BYTES({loading.bytes})) config_head (",
        "    .clk(clk), .rst_n(rst_n),",
        "    .s_tdata(s_axis_config_tdata), .s_tvalid(s_axis_config_tvalid),",
        "    .s_tready(s_axis_config_tready), .s_tlast(s_axis_config_tlast),",
        f"    .in_valid(s_axis_tvalid), .in_ready(r{entry}), .allow(config_allow),",
        "    .out_end(config_end),",
        f"    .config_out(c0), .config_back(c{last}),",
        "    .crc(config_crc), .state(config_state));",
    ]


def _instance(layer: Ports, number: Mapping[str, int], link: int | None) -> list[str]:
    connections = [".ap_clk(clk)", ".ap_rst_n(rst_n)"]
    for prefix, names in (("in", layer.inputs), ("out", layer.outputs)):
        for port, name in enumerate(names):
            wire = number[name]
            connections += [
                f".{prefix}{port}_V_TDATA(d{wire})",
                f".{prefix}{port}_V_TVALID(v{wire})",
                f".{prefix}{port}_V_TREADY(r{wire})",
            ]
    lines = []
    if layer.fill:
        lines.append(f"  wire [{FILL_BITS - 1}:0] {layer.fill}_w;")
        connections.append(f".fill({layer.fill}_w)")
    if link is not None:
        connections += [f".{CONFIG_IN}(c{link})", f".{CONFIG_OUT}(c{link + 1})"]
    if layer.limit:
        connections.append(f".limit({layer.limit})")
    joined = ",\n    ".join(connections)
    return [*lines, f"  {layer.module} {layer.module}_i (\n    {joined}\n  );"]


def _taps(watched: Mapping[str, Stream], fills: list[str], number: Mapping[str, int]) -> list[str]:
    lines = ["`ifdef QD_TAPS"]
    for name, tap in watched.items():
        wire = number[name]
        lines += [
            f"  assign {tap.name}_tdata = d{wire};",
            f"  assign {tap.name}_tvalid = v{wire};",
            f"  assign {tap.name}_tready = r{wire};",
        ]
    lines += [f"  assign {fill} = {fill}_w;" for fill in fills]
    if fills:
        joined = ", ".join(f"{fill}_w" for fill in fills)
        lines += ["`else", f"  wire unused_fill = &{{1'b0, {joined}}};"]
    return [*lines, "`endif"]
