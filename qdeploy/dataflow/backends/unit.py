"""A hardware layer as Verilog: a wrapper with FINN's port names around a chain of blocks.

    in0_V (AXI-Stream, bytes)  ->  block  ->  block …  ->  out0_V (AXI-Stream, bytes)

The wrapper cuts the padding bits of TDATA off on the way in and adds zeros on the way out; it has
no logic of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qdeploy.dataflow.library import closure
from qdeploy.errors import InternalError


@dataclass(frozen=True)
class Block:
    """One instance of a module in `hw/rtl` with s_* and m_* streams.

    Args:
        module: module name; its file is `<module>.v`.
        parameters: integers, or strings for file names and styles.
        in_bits, out_bits: unpadded widths of its streams.
        extra: further output ports of the module that the wrapper passes through, with widths.
    """

    module: str
    parameters: Mapping[str, int | str]
    in_bits: int
    out_bits: int
    extra: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """What a hardware layer consists of.

    Args:
        blocks: the chain, in stream order; widths of neighbours agree.
        memories: file name to lines (hexadecimal words) of the memory files.
    """

    blocks: tuple[Block, ...]
    memories: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Names of the files of `hw/rtl` the unit needs."""
        return closure(block.module for block in self.blocks)

    @property
    def in_width(self) -> int:
        """Padded width of the input's TDATA."""
        return padded(self.blocks[0].in_bits)

    @property
    def out_width(self) -> int:
        """Padded width of the output's TDATA."""
        return padded(self.blocks[-1].out_bits)

    def verilog(self, module: str) -> str:
        """The wrapper's text, Verilog-2005."""
        for left, right in zip(self.blocks, self.blocks[1:], strict=False):
            if left.out_bits != right.in_bits:
                raise InternalError(
                    f"`{module}`: `{left.module}` puts out {left.out_bits} bits, "
                    f"`{right.module}` takes {right.in_bits}"
                )
        extras = {name: bits for block in self.blocks for name, bits in block.extra.items()}
        lines = [
            f"module {module} (",
            "  input  wire ap_clk,",
            "  input  wire ap_rst_n,",
            f"  input  wire [{self.in_width - 1}:0] in0_V_TDATA,",
            "  input  wire in0_V_TVALID,",
            "  output wire in0_V_TREADY,",
            *(f"  output wire [{bits - 1}:0] {name}," for name, bits in extras.items()),
            f"  output wire [{self.out_width - 1}:0] out0_V_TDATA,",
            "  output wire out0_V_TVALID,",
            "  input  wire out0_V_TREADY",
            ");",
        ]
        lines += self._wires()
        for index, block in enumerate(self.blocks):
            lines += _instance(block, index)
        return "\n".join([*lines, "endmodule", ""])

    def _wires(self) -> list[str]:
        first, last = self.blocks[0], self.blocks[-1]
        count = len(self.blocks)
        lines = [f"  wire [{first.in_bits - 1}:0] data0 = in0_V_TDATA[{first.in_bits - 1}:0];"]
        lines += [
            "  wire valid0 = in0_V_TVALID;",
            "  wire ready0;",
            "  assign in0_V_TREADY = ready0;",
        ]
        for index, block in enumerate(self.blocks, start=1):
            lines.append(f"  wire [{block.out_bits - 1}:0] data{index};")
            lines.append(f"  wire valid{index}, ready{index};")
        spare = self.out_width - last.out_bits
        data = f"data{count}"
        lines.append(f"  assign out0_V_TDATA = {_zero_extended(data, spare)};")
        lines.append(f"  assign out0_V_TVALID = valid{count};")
        lines.append(f"  assign ready{count} = out0_V_TREADY;")
        spare = self.in_width - first.in_bits
        if spare:
            high = f"in0_V_TDATA[{self.in_width - 1}:{first.in_bits}]"
            lines.append("  // padding bits of the input carry nothing")
            lines.append(f"  wire unused_padding = &{{1'b0, {high}}};")
        return lines


def padded(bits: int) -> int:
    """`bits` rounded up to whole bytes, as AXI-Stream wants TDATA."""
    return (bits + 7) // 8 * 8


def _zero_extended(signal: str, spare: int) -> str:
    return f"{{{{{spare}{{1'b0}}}}, {signal}}}" if spare else signal


def _instance(block: Block, index: int) -> list[str]:
    parameters = ", ".join(
        f'.{name}("{value}")' if isinstance(value, str) else f".{name}({value})"
        for name, value in block.parameters.items()
    )
    following = index + 1
    ports = [
        ".clk(ap_clk)",
        ".rst_n(ap_rst_n)",
        f".s_tdata(data{index})",
        f".s_tvalid(valid{index})",
        f".s_tready(ready{index})",
        f".m_tdata(data{following})",
        f".m_tvalid(valid{following})",
        f".m_tready(ready{following})",
        *(f".{name}({name})" for name in block.extra),
    ]
    joined = ",\n    ".join(ports)
    return [f"  {block.module} #({parameters}) block{index} (\n    {joined}\n  );"]
