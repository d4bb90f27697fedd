"""A module between registers, so that place and route times it from register to register.

Each input bit comes from a shift register that one pin feeds; each output bit goes into a register
of its own, and these are folded into one pin by a chain of exclusive ors with a register after
each. So no pin limits the clock, nothing is constant, and nothing is unused and optimized away.
The chains have at most one LUT between two registers: they do not limit the clock either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOP = "timed"


@dataclass(frozen=True)
class Port:
    """A port of the module under test; `into` the module or out of it."""

    name: str
    width: int
    into: bool


def stream_ports(prefix: str, width: int, *, into: bool, upper: bool = False) -> list[Port]:
    """The three ports of an AXI-Stream, `<prefix>_tdata` and so on, in capitals where `upper`."""
    names = [f"{prefix}_{signal.upper() if upper else signal}" for signal in _STREAM]
    return [Port(names[0], width, into), Port(names[1], 1, into), Port(names[2], 1, not into)]


def harness(module: str, ports: Sequence[Port], *, clock: str = "clk", reset: str = "rst_n") -> str:
    """Verilog of the module `TOP`: `module` with registers around it and the pins clk, in, out.

    Args:
        ports: all ports of `module` but its clock and its reset, which is a register too.
    """
    inputs = [port for port in ports if port.into]
    outputs = [port for port in ports if not port.into]
    fed, seen = sum(port.width for port in inputs) + 1, sum(port.width for port in outputs)
    lines = [
        f"module {TOP} (input wire clk, input wire in, output wire out);",
        f"  reg [{fed - 1}:0] feed;",
        f"  always @(posedge clk) feed <= {{feed[{fed - 2}:0], in}};",
        f"  wire [{seen - 1}:0] result;",
        f"  reg [{seen - 1}:0] taken, fold;",
        "  always @(posedge clk) begin",
        "    taken <= result;",
        "    fold <= taken ^ (fold << 1);",
        "  end",
        f"  assign out = fold[{seen - 1}];",
        f"  {module} under_test (.{clock}(clk), .{reset}(feed[{fed - 1}])",
    ]
    for vector, group in (("feed", inputs), ("result", outputs)):
        at = 0
        for port in group:
            lines.append(f"    , .{port.name}({vector}[{at} +: {port.width}])")
            at += port.width
    return "\n".join([*lines, "  );", "endmodule", ""])


_STREAM = ("tdata", "tvalid", "tready")
