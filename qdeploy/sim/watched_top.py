"""Verilog of a module around a design's top that shows streams inside it, by number."""

from __future__ import annotations

from collections.abc import Sequence

from qdeploy.design.manifest import Connection, Design
from qdeploy.sim.spec import Port


def watch_port(stream: Connection) -> Port:
    """The port of `watched_top` that shows a stream."""
    return Port(f"w{stream.number}", stream.width)


def watched_name(design: Design) -> str:
    """Name of the module `watched_top` writes."""
    return f"{design.top}_watched"


def watched_top(
    design: Design,
    streams: Sequence[Connection],
    further: Sequence[tuple[str, int, str]] = (),
) -> str:
    """Text of the module, whatever the top is made of: RTL or a netlist.

    Args:
        streams: those to show, as ports `w<number>_tdata`, `w<number>_tvalid`, `w<number>_tready`.
        further: (`input` or `output`, bits, name) of ports of the top that become the module's.
    """
    outputs, assigns = [], []
    for stream in streams:
        prefix = watch_port(stream).prefix
        outputs.append(f"  output wire [{stream.width - 1}:0] {prefix}_tdata,")
        outputs.append(f"  output wire {prefix}_tvalid, output wire {prefix}_tready,")
        for role, letter in (("tdata", "d"), ("tvalid", "v"), ("tready", "r")):
            assigns.append(f"  assign {prefix}_{role} = design_i.{letter}{stream.number};")
    source, sink = design.input, design.output
    return "\n".join(
        [
            f"module {watched_name(design)} (",
            "  input wire clk, input wire rst_n,",
            f"  input wire [{source.width - 1}:0] {source.name}_tdata,",
            f"  input wire {source.name}_tvalid, output wire {source.name}_tready,",
            *outputs,
            *(f"  {way} wire [{bits - 1}:0] {name}," for way, bits, name in further),
            f"  output wire [{sink.width - 1}:0] {sink.name}_tdata, output wire {sink.name}_tlast,",
            f"  output wire {sink.name}_tvalid, input wire {sink.name}_tready",
            ");",
            f"  {design.top} design_i (.clk(clk), .rst_n(rst_n),",
            *(
                f"    .{port.name}_{role}({port.name}_{role}),"
                for port in (source, sink)
                for role in ("tdata", "tvalid", "tready")
            ),
            *(f"    .{name}({name})," for _, _, name in further),
            f"    .{sink.name}_tlast({sink.name}_tlast));",
            *assigns,
            "endmodule",
            "",
        ]
    )
