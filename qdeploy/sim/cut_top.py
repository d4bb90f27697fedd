"""A design's top in which every layer can be cut loose and driven alone: Verilog to Verilog.

    in<i> of a layer    takes beats from `x<number>`, the port for the stream it reads, once cut
    out<j> of a layer   shows its beats at `y<number>`, which once cut says when it is ready

The text is that of the design's own top, RTL or netlist; only the connections of its layers change.
Until the first rising edge of `qd_cut_clk` the module is the design as it is; from then on every
layer stands alone. What drives the layers then is held in registers of that clock: a clock that
stands still costs a simulation next to nothing, where ports would be looked at every cycle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qdeploy.design.manifest import Design
from qdeploy.errors import VerificationError
from qdeploy.sim.spec import Port

CUT_CLOCK = "qd_cut_clk"
_HEADER = re.compile(r"^module (\w+) ?\((.*?)\);$", re.MULTILINE | re.DOTALL)
_CONNECTION = re.compile(r"^    \.(\w+)\((.*)\)(,?)$", re.MULTILINE)
_SIGNALS = ("tdata", "tvalid", "tready")


@dataclass(frozen=True)
class CutPorts:
    """The ports of a cut top by the layer's port, (module, port), that each belongs to."""

    inputs: dict[tuple[str, str], Port]
    outputs: dict[tuple[str, str], Port]

    @property
    def names(self) -> dict[tuple[str, str], str]:
        """Prefix of the top's port by the layer's port."""
        return {at: port.prefix for at, port in (*self.inputs.items(), *self.outputs.items())}


def cut_ports(design: Design) -> CutPorts:
    """The ports that `cut_top` adds for the layers, by stream number.

    Raises:
        UserError: the design was stitched before its streams were recorded.
    """
    streams = design.connections()
    return CutPorts(
        {
            (one.sink.module, one.sink.port): Port(f"x{one.number}", one.width)
            for one in streams
            if one.sink.module
        },
        {
            (one.source.module, one.source.port): Port(f"y{one.number}", one.width)
            for one in streams
            if one.source.module
        },
    )


def port_declarations(design: Design) -> list[tuple[str, int, str]]:
    """(`input` or `output`, bits, name) of every port that `cut_top` adds."""
    ports = cut_ports(design)
    found = [("input", 1, CUT_CLOCK)]
    for added, given, back in (
        (ports.inputs, "input", "output"),
        (ports.outputs, "output", "input"),
    ):
        for port in added.values():
            found += [
                (given, port.bits, port.signal("tdata")),
                (given, 1, port.signal("tvalid")),
                (back, 1, port.signal("tready")),
            ]
    return found


def cut_top(design: Design, text: str) -> str:
    """The module with its layers' connections cut.

    Args:
        text: of the module `design.top`, from `module` to `endmodule`, as the stitcher or Yosys
            writes it.

    Raises:
        VerificationError: the text does not connect the layers as the manifest lists them.
        UserError: the design was stitched before its streams were recorded.
    """
    ports = cut_ports(design)
    assigns: list[str] = []
    for module in dict.fromkeys(layer.module for layer in design.layers):
        text = _cut_layer(design, text, module, ports, assigns)
    return _with_ports(design, text, ports, assigns)


def _cut_layer(design: Design, text: str, module: str, ports: CutPorts, assigns: list[str]) -> str:
    """Cut the connections of one instance; what its ports show goes to `assigns`."""
    start, end = _instance(design, text, module)
    body = text[start:end]
    # A space ends an escaped name.
    wires = {match[1]: f"{match[2]} " for match in _CONNECTION.finditer(body)}
    changed: dict[str, str] = {}
    for port in design.ports_of(module):
        data, valid, ready = (f"{port}_V_{signal.upper()}" for signal in _SIGNALS)
        if missing := {data, valid, ready} - set(wires):
            raise _other(design, f"layer `{module}` has no connection `{min(missing)}`")
        if (module, port) in ports.inputs:
            name = ports.inputs[module, port].prefix
            changed[data] = f"qd_cut ? {name}_d : {wires[data]}"
            changed[valid] = f"qd_cut ? {name}_v : {wires[valid]}"
            assigns.append(f"  assign {name}_tready = {wires[ready]};")
        else:
            name = ports.outputs[module, port].prefix
            changed[ready] = f"qd_cut ? {name}_r : {wires[ready]}"
            assigns.append(f"  assign {name}_tdata = {wires[data]};")
            assigns.append(f"  assign {name}_tvalid = {wires[valid]};")
    streams = [name for name in wires if "_V_T" in name]
    if len(streams) != len(_SIGNALS) * len(design.ports_of(module)):
        raise _other(design, f"layer `{module}` has the connections {', '.join(streams)}")

    def rewritten(match: re.Match[str]) -> str:
        expression = changed.get(match[1], match[2])
        return f"    .{match[1]}({expression}){match[3]}"

    return text[:start] + _CONNECTION.sub(rewritten, body) + text[end:]


def _instance(design: Design, text: str, module: str) -> tuple[int, int]:
    """Where the instance of a layer's module starts and ends in the text."""
    found = list(re.finditer(rf"^  {module} {module}_i \($.*?^  \);$", text, re.M | re.S))
    if len(found) != 1:
        raise _other(design, f"it has {len(found)} instances of `{module}`, not one")
    return found[0].span()


def _other(design: Design, why: str) -> VerificationError:
    return VerificationError(
        f"the Verilog of `{design.top}` does not connect the layers that `design.json` lists",
        why=why,
        do="run `qdeploy export` again",
    )


def _with_ports(design: Design, text: str, ports: CutPorts, assigns: list[str]) -> str:
    """The text with the ports, their registers and `assigns` added."""
    header = _HEADER.search(text)
    end = text.rfind("\nendmodule")
    if header is None or header[1] != design.top or end < 0:
        raise _other(design, "it is the text of another module")
    declared = [
        f"{way} wire [{bits - 1}:0] {name}" if bits > 1 else f"{way} wire {name}"
        for way, bits, name in port_declarations(design)
    ]
    if header[2].startswith("\n"):  # ports declared in the list, as the stitcher writes them
        head = f"module {design.top} (\n  " + ",\n  ".join(declared) + "," + header[2] + ");\n"
    else:
        names = ", ".join(name for _, _, name in port_declarations(design))
        head = f"module {design.top}({names}, {header[2]});\n  " + ";\n  ".join(declared) + ";\n"
    registers, loads = ["  reg qd_cut = 1'b0;"], ["    qd_cut <= 1'b1;"]
    for port in ports.inputs.values():
        registers.append(f"  reg [{port.bits - 1}:0] {port.prefix}_d; reg {port.prefix}_v;")
        loads.append(
            f"    {port.prefix}_d <= {port.prefix}_tdata; {port.prefix}_v <= {port.prefix}_tvalid;"
        )
    for port in ports.outputs.values():
        registers.append(f"  reg {port.prefix}_r;")
        loads.append(f"    {port.prefix}_r <= {port.prefix}_tready;")
    made = [*registers, f"  always @(posedge {CUT_CLOCK}) begin", *loads, "  end"]
    body = text[header.end() + 1 : end]
    return "\n".join([head + "\n".join(made), body, *assigns, "endmodule", ""])
