"""Which wire of a design's top module each layer's port and each tap is on, read from the top.

The top numbers the streams between its layers: `d3`, `v3` and `r3` are data, valid and ready of
stream 3. Each layer's instance is `<module>_i`, its ports are `in<k>_V_…` and `out<k>_V_…`, and
`assign <tap>_tdata = d<n>;` says where a tap looks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qdeploy.design.manifest import Design, Stream
from qdeploy.errors import InternalError
from qdeploy.sim.spec import Port

_WIRE = re.compile(r"^  wire \[(\d+):0\] d(\d+);", re.MULTILINE)
_INSTANCE = re.compile(r"^  (\w+) \1_i \(\n(.*?)\n  \);", re.MULTILINE | re.DOTALL)
_CONNECTION = re.compile(r"\.((?:in|out)\d+)_V_TDATA\(d(\d+)\)")
_TAP = re.compile(r"^  assign (\w+)_tdata = d(\d+);", re.MULTILINE)


@dataclass(frozen=True)
class Wiring:
    """The streams of a design.

    Args:
        bits: width of each stream's data, by number.
        layers: module -> port (`in0`, `out0`, …) -> number of the stream.
        taps: number of the stream -> the tap that watches it.
    """

    bits: dict[int, int]
    layers: dict[str, dict[str, int]]
    taps: dict[int, Stream]


def read_wiring(folder: Path, design: Design) -> Wiring:
    """Wiring of the design in `folder`.

    Raises:
        InternalError: the top is not as expected: a layer or a tap is not found there.
    """
    path = next((folder / name for name in design.sources if Path(name).stem == design.top), None)
    text = path.read_text(encoding="utf-8") if path else ""
    bits = {int(number): int(top) + 1 for top, number in _WIRE.findall(text)}
    layers = {
        module: {port: int(number) for port, number in _CONNECTION.findall(connections)}
        for module, connections in _INSTANCE.findall(text)
    }
    watched = {name: int(number) for name, number in _TAP.findall(text)}
    missing = [layer.module for layer in design.layers if not layers.get(layer.module)]
    missing += [tap.name for tap in design.taps if tap.name not in watched]
    if missing:
        raise InternalError(
            f"the top `{design.top}` does not connect {', '.join(missing)} as stitched designs do",
            where=str(path or folder),
            do="run `qdeploy export` again",
        )
    return Wiring(bits, layers, {watched[tap.name]: tap for tap in design.taps})


def watch_port(number: int, wiring: Wiring) -> Port:
    """The port of `watching_top` that shows stream `number`."""
    return Port(f"w{number}", wiring.bits[number])


def watching_name(design: Design) -> str:
    """Name of the module `watching_top` writes."""
    return f"{design.top}_watched"


def watching_top(design: Design, wiring: Wiring, numbers: list[int]) -> str:
    """Verilog of a module around the top that shows streams inside it, whatever the top is made of.

    Args:
        numbers: the streams to show, as ports `w<n>_tdata`, `w<n>_tvalid`, `w<n>_tready`.
    """
    outputs, assigns = [], []
    for number in numbers:
        prefix = watch_port(number, wiring).prefix
        outputs.append(f"  output wire [{wiring.bits[number] - 1}:0] {prefix}_tdata,")
        outputs.append(f"  output wire {prefix}_tvalid, output wire {prefix}_tready,")
        for role, letter in (("tdata", "d"), ("tvalid", "v"), ("tready", "r")):
            assigns.append(f"  assign {prefix}_{role} = design_i.{letter}{number};")
    source, sink = design.input, design.output
    return "\n".join(
        [
            f"module {watching_name(design)} (",
            "  input wire clk, input wire rst_n,",
            f"  input wire [{source.width - 1}:0] {source.name}_tdata,",
            f"  input wire {source.name}_tvalid, output wire {source.name}_tready,",
            *outputs,
            f"  output wire [{sink.width - 1}:0] {sink.name}_tdata, output wire {sink.name}_tlast,",
            f"  output wire {sink.name}_tvalid, input wire {sink.name}_tready",
            ");",
            f"  {design.top} design_i (.clk(clk), .rst_n(rst_n),",
            *(
                f"    .{stream.name}_{role}({stream.name}_{role}),"
                for stream in (source, sink)
                for role in ("tdata", "tvalid", "tready")
            ),
            f"    .{sink.name}_tlast({sink.name}_tlast));",
            *assigns,
            "endmodule",
            "",
        ]
    )
