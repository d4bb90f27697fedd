"""Stitch specialized hardware layers into one Verilog design.

    requires   RTL backends only, one producer and one consumer for every stream, equal widths
    transform  one wrapper module a layer, one top module that chains them, memory files beside
    ensures    a design folder that a simulator or synthesizer reads as its working directory

The top has AXI-Stream in (`s_axis`) and out (`m_axis`, TLAST on a frame's last beat). Compiled with
the macro QD_TAPS it also has, for every boundary, ports that watch the stream there, and for every
FIFO its fill.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.artifacts import atomic_folder
from qdeploy.boards import Board
from qdeploy.dataflow.backends.unit import Unit
from qdeploy.dataflow.boundaries import boundary_of, owner_of
from qdeploy.dataflow.design import Design, Fifo, Layer, Stream
from qdeploy.dataflow.finn_graph import stream_shape
from qdeploy.dataflow.hw_layers import identifier
from qdeploy.dataflow.library import closure
from qdeploy.dataflow.specialize import operator
from qdeploy.errors import PassError
from qdeploy.lowering.integer_graph import IntegerGraph, Tensor
from qdeploy.resources import resource

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

FOLDING_KEYS = ("PE", "SIMD")
FILL_BITS = 16


def stitch(
    model: ModelWrapper, graph: IntegerGraph, folder: Path, board: Board, clock_mhz: float
) -> Design:
    """Write the design into `folder` (replaced as a whole) and return it.

    Raises:
        PassError: the model is not a chain, or neighbours' widths differ.
    """
    stitcher = _Stitcher(model, graph)
    with atomic_folder(folder) as temporary:
        design = stitcher.design(board, clock_mhz)
        for name, text in stitcher.files().items():
            (temporary / name).write_text(text, encoding="utf-8")
        for name in stitcher.libraries():
            shutil.copy(resource(f"hw/rtl/{name}"), temporary / name)
        design.save(temporary)
    return design


class _Stitcher:
    def __init__(self, model: ModelWrapper, graph: IntegerGraph) -> None:
        from qonnx.custom_op.registry import getCustomOp

        self.model, self.graph = model, graph
        self.nodes = list(model.graph.node)
        self.instances: list[Any] = [getCustomOp(node) for node in self.nodes]
        self.units: list[Unit] = [inst.unit(model) for inst in self.instances]
        self.top = identifier(f"{graph.name}_top")
        self._require_chain()
        self.taps = self._taps()
        self.fifos = self._fifos()

    def _require_chain(self) -> None:
        for left, right in zip(self.nodes, self.nodes[1:], strict=False):
            if left.output[0] != right.input[0] or len(left.output) != 1:
                raise PassError(f"`{left.name}` and `{right.name}` are not one after the other")
        for index in range(1, len(self.units)):
            left, right = self.units[index - 1], self.units[index]
            if left.blocks[-1].out_bits != right.blocks[0].in_bits:
                raise PassError(
                    f"`{self.nodes[index - 1].name}` puts out {left.blocks[-1].out_bits} bits, "
                    f"`{self.nodes[index].name}` takes {right.blocks[0].in_bits}"
                )

    def libraries(self) -> list[str]:
        """Files of `hw/rtl` in use."""
        names = [name for unit in self.units for name in unit.files]
        return sorted({*names, *closure(["qd_tlast"])})

    def files(self) -> dict[str, str]:
        """Generated files: wrappers, memories, the top."""
        texts = {}
        for node, unit in zip(self.nodes, self.units, strict=True):
            texts[f"{node.name}.v"] = unit.verilog(node.name)
            for name, lines in unit.memories.items():
                texts[name] = "\n".join(lines) + "\n"
        texts[f"{self.top}.v"] = self._top()
        return texts

    def design(self, board: Board, clock_mhz: float) -> Design:
        """The manifest."""
        files = self.files()
        sources = sorted([*(n for n in files if n.endswith(".v")), *self.libraries()])
        result = self.graph.tensors[self.graph.output]
        return Design(
            name=self.graph.name,
            top=self.top,
            board=board.name,
            part=board.part,
            clock_mhz=clock_mhz,
            sources=sources,
            memories=sorted(n for n in files if n.endswith(".hex")),
            input=self._input(),
            output=self._stream("m_axis", self.nodes[-1], result),
            taps=[stream for _, stream in self.taps],
            fifos=self.fifos,
            layers=self._layers(),
            logit_scale=float(self.graph.logit_scale),
        )

    def _layers(self) -> list[Layer]:
        layers = []
        for node, inst in zip(self.nodes, self.instances, strict=True):
            keys = inst.get_nodeattr_types()
            layers.append(
                Layer(
                    name=node.name,
                    layer=owner_of(self.model, node, self.graph).layer,
                    op=operator(node.op_type),
                    module=node.name,
                    cycles=int(inst.get_exp_cycles()),
                    folding={k: int(inst.get_nodeattr(k)) for k in FOLDING_KEYS if k in keys},
                )
            )
        return layers

    def _input(self) -> Stream:
        source = self.graph.tensors[self.graph.input]
        inst = self.instances[0]
        dtype = inst.get_input_datatype(0)
        return Stream(
            name="s_axis",
            tensor=source.name,
            shape=stream_shape(source),
            bits=int(dtype.bitwidth()),
            signed=bool(dtype.signed()),
            per_beat=int(inst.get_folded_input_shape(0)[-1]),
        )

    def _stream(self, name: str, node: NodeProto, tensor: Tensor) -> Stream:
        inst = self.instances[self.nodes.index(node)]
        dtype = inst.get_output_datatype()
        return Stream(
            name=name,
            tensor=tensor.name,
            shape=stream_shape(tensor),
            bits=int(dtype.bitwidth()),
            signed=bool(dtype.signed()),
            per_beat=int(inst.get_folded_output_shape()[-1]),
        )

    def _taps(self) -> list[tuple[int, Stream]]:
        """Index of the node and the stream that watches its output, for every boundary."""
        taps: list[tuple[int, Stream]] = []
        for index, node in enumerate(self.nodes):
            name = boundary_of(self.model, node, self.graph)
            if name is not None:
                stream = self._stream(f"tap{len(taps)}", node, self.graph.tensors[name])
                taps.append((index, stream))
        return taps

    def _fifos(self) -> list[Fifo]:
        return [
            Fifo(
                name=node.name,
                depth=int(inst.get_nodeattr("depth")),
                width=int(inst.get_instream_width()),
                fill_port=f"{node.name}_fill",
            )
            for node, inst in zip(self.nodes, self.instances, strict=True)
            if operator(node.op_type) == "StreamingFIFO"
        ]

    def _top(self) -> str:
        first, last = self.units[0], self.units[-1]
        beats = self._stream("m_axis", self.nodes[-1], self.graph.tensors[self.graph.output]).beats
        ports = [
            "input  wire clk",
            "input  wire rst_n",
            f"input  wire [{first.in_width - 1}:0] s_axis_tdata",
            "input  wire s_axis_tvalid",
            "output wire s_axis_tready",
            f"output wire [{last.out_width - 1}:0] m_axis_tdata",
            "output wire m_axis_tvalid",
            "output wire m_axis_tlast",
            "input  wire m_axis_tready",
        ]
        watch = []
        for _, stream in self.taps:
            watch += [
                f"output wire [{stream.width - 1}:0] {stream.name}_tdata",
                f"output wire {stream.name}_tvalid",
                f"output wire {stream.name}_tready",
            ]
        watch += [f"output wire [{FILL_BITS - 1}:0] {fifo.fill_port}" for fifo in self.fifos]
        lines = [f"// {self.graph.name}: stitched from its layers.", f"module {self.top} ("]
        lines += [f"  {port}," for port in ports[:-1]]
        lines += ["`ifdef QD_TAPS", *(f"  {port}," for port in watch), "`endif", f"  {ports[-1]}"]
        lines += [");", *self._body(), *self._tail(beats), "endmodule", ""]
        return "\n".join(lines)

    def _body(self) -> list[str]:
        lines = [
            f"  wire [{self.units[0].in_width - 1}:0] d0 = s_axis_tdata;",
            "  wire v0 = s_axis_tvalid;",
            "  wire r0;",
            "  assign s_axis_tready = r0;",
        ]
        fills = {fifo.name: fifo.fill_port for fifo in self.fifos}
        for index, (node, unit) in enumerate(zip(self.nodes, self.units, strict=True)):
            after = index + 1
            fill = f", .fill({node.name}_fill_w)" if node.name in fills else ""
            if fill:
                lines.append(f"  wire [{FILL_BITS - 1}:0] {node.name}_fill_w;")
            lines += [
                f"  wire [{unit.out_width - 1}:0] d{after};",
                f"  wire v{after}, r{after};",
                f"  {node.name} {node.name}_i (.ap_clk(clk), .ap_rst_n(rst_n),",
                f"    .in0_V_TDATA(d{index}), .in0_V_TVALID(v{index}), .in0_V_TREADY(r{index}),",
                f"    .out0_V_TDATA(d{after}), .out0_V_TVALID(v{after}), "
                f".out0_V_TREADY(r{after}){fill});",
            ]
        return lines

    def _tail(self, beats: int) -> list[str]:
        last = len(self.nodes)
        width = self.units[-1].out_width
        lines = [
            f"  qd_tlast #(.WIDTH({width}), .BEATS({beats})) frame_end (.clk(clk), .rst_n(rst_n),",
            f"    .s_tdata(d{last}), .s_tvalid(v{last}), .s_tready(r{last}),",
            "    .m_tdata(m_axis_tdata), .m_tvalid(m_axis_tvalid), .m_tready(m_axis_tready),",
            "    .m_tlast(m_axis_tlast));",
            "`ifdef QD_TAPS",
        ]
        for index, stream in self.taps:
            lines += [
                f"  assign {stream.name}_tdata = d{index + 1};",
                f"  assign {stream.name}_tvalid = v{index + 1};",
                f"  assign {stream.name}_tready = r{index + 1};",
            ]
        lines += [f"  assign {fifo.fill_port} = {fifo.name}_fill_w;" for fifo in self.fifos]
        unused = [f"{fifo.name}_fill_w" for fifo in self.fifos]
        if unused:
            joined = ", ".join(unused)
            lines += ["`else", f"  wire unused_fill = &{{1'b0, {joined}}};"]
        return [*lines, "`endif"]
