"""Stitch specialized hardware layers into one Verilog design.

    requires   RTL backends only, one producer and one consumer for every stream, equal widths
    transform  one wrapper module per layer, one top module that joins them, memory files
    ensures    a design folder that a simulator or synthesizer reads as its working directory

The top has AXI-Stream in (`s_axis`) and out (`m_axis`, TLAST on a frame's last beat). Compiled with
the macro QD_TAPS it also has, for every boundary, ports that watch the stream there, and for every
FIFO its fill. The manifest lists the streams and the ports they connect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.artifacts import atomic_folder
from qdeploy.dataflow.finn.boundaries import boundary_of, computed_nodes, owner_of
from qdeploy.dataflow.finn.geometry import HwStream
from qdeploy.dataflow.finn.names import identifier
from qdeploy.dataflow.finn.nodes import HwNode, Kind, hw_nodes, stream_name
from qdeploy.dataflow.finn.timing import frame_cycles, macs_of
from qdeploy.dataflow.rtl.library import closure, library_file
from qdeploy.dataflow.stitching.rendering import Renderer
from qdeploy.dataflow.stitching.top_module import (
    HEAD,
    SINK,
    SOURCE,
    Frame,
    Ports,
    Wiring,
    top_module,
)
from qdeploy.design.library_text import library_text
from qdeploy.design.manifest import PIXELS, Connection, Design, Fifo, Layer, Stream
from qdeploy.devices.boards import Board
from qdeploy.ir.integer_graph import IntegerGraph, Tensor
from qdeploy.ir.layout import stream_shape

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

FOLDING_KEYS = ("PE", "SIMD", PIXELS)


def stitch(
    model: ModelWrapper,
    graph: IntegerGraph,
    folder: Path,
    board: Board,
    clock_mhz: float,
    *,
    taps: bool = True,
    renderer: Renderer | None = None,
) -> Design:
    """Write the design into `folder` (replaced as a whole) and return it.

    Args:
        taps: whether boundaries can be watched.
        renderer: of the layers, where the network is stitched more than once.

    Raises:
        PassError: a stream lacks an end, or its ends differ in width.
    """
    stitcher = _Stitcher(model, graph, taps, renderer or Renderer())
    files = stitcher.files()
    design = stitcher.design(board, clock_mhz, files)
    with atomic_folder(folder) as temporary:
        for name, text in files.items():
            (temporary / name).write_text(text, encoding="utf-8")
        for name in stitcher.libraries():
            text = library_file(name).read_text(encoding="utf-8")
            text = library_text(text, loadable=stitcher.loading is not None)
            (temporary / name).write_text(text, encoding="utf-8")
        design.save(temporary)
    return design


class _Stitcher:
    def __init__(
        self, model: ModelWrapper, graph: IntegerGraph, taps: bool, renderer: Renderer
    ) -> None:
        self.model, self.graph = model, graph
        self.nodes = list(model.graph.node)
        self.instances: list[Any] = [node.instance for node in hw_nodes(model)]
        self.rendered = [
            renderer.render(model, node, inst)
            for node, inst in zip(self.nodes, self.instances, strict=True)
        ]
        self.top = identifier(f"{graph.name}_top")
        self.wiring = self._wiring()
        self.wiring.check()
        self.loading = self.wiring.loading()
        self.taps = self._taps() if taps else []
        self.watched = {self.nodes[index].output[0]: stream for index, stream in self.taps}
        self.fifos = self._fifos()

    def _wiring(self) -> Wiring:
        """Which stream connects which ports; every stream has one producer and one consumer."""
        constants = {item.name for item in self.model.graph.initializer}
        ports = [
            Ports(
                node.name,
                rendered.unit,
                tuple(name for name in node.input if name not in constants),
                tuple(node.output),
                f"{node.name}_fill" if self._kind(node) is Kind.FIFO else None,
                _limit(node, inst) or None,
            )
            for node, inst, rendered in zip(self.nodes, self.instances, self.rendered, strict=True)
        ]
        graph = self.model.graph
        return Wiring(ports, graph.input[0].name, graph.output[0].name)

    def _kind(self, node: NodeProto) -> Kind:
        return HwNode.of(self.model, node).kind

    def libraries(self) -> list[str]:
        """Files of `hw/rtl` in use."""
        names = [name for rendered in self.rendered for name in rendered.unit.files]
        own = ["qd_tlast", *([HEAD] if self.loading is not None else [])]
        return sorted({*names, *closure(own)})

    def files(self) -> dict[str, str]:
        """Generated files, name to text: wrappers, memories, the top."""
        texts = {name: text for layer in self.rendered for name, text in layer.files.items()}
        texts[f"{self.top}.v"] = top_module(
            self.top,
            self.graph.name,
            self.wiring,
            self.watched,
            Frame(self._input().beats, self._output().beats),
        )
        return texts

    def design(self, board: Board, clock_mhz: float, files: Mapping[str, str]) -> Design:
        """The manifest.

        Args:
            files: generated, name to text.
        """
        sources = sorted([*(n for n in files if n.endswith(".v")), *self.libraries()])
        scale = self.graph.head.scale
        return Design(
            name=self.graph.name,
            top=self.top,
            board=board.name,
            part=board.part,
            clock_mhz=clock_mhz,
            sources=sources,
            memories=sorted(n for n in files if n.endswith(".hex")),
            input=self._input(),
            output=self._output(),
            taps=[stream for _, stream in self.taps],
            fifos=self.fifos,
            layers=self._layers(),
            logit_scale=None if scale is None else float(scale),
            streams=self._streams(),
            loading=self.loading,
        )

    def _streams(self) -> list[Connection]:
        """The streams by number, each with what it carries."""
        carried: dict[str, HwStream] = {}
        for facts in hw_nodes(self.model):
            carried |= {name: facts.output(index) for index, name in facts.outputs.items()}
        first = self.model.find_consumer(self.wiring.source)
        carried[self.wiring.source] = HwNode.of(self.model, first).input(0)
        numbers = self.wiring.numbers
        kinds = {numbers[name]: stream for name, stream in carried.items()}
        return [
            dataclasses.replace(
                one,
                elements=kinds[one.number].beats * kinds[one.number].per_beat,
                per_beat=kinds[one.number].per_beat,
                bits=kinds[one.number].bits,
                signed=kinds[one.number].signed,
            )
            for one in self.wiring.connections(self.watched)
        ]

    def _layers(self) -> list[Layer]:
        layers = []
        for node, inst in zip(self.nodes, self.instances, strict=True):
            owner = owner_of(self.model, node, self.graph)
            facts = HwNode.of(self.model, node)
            layers.append(
                Layer(
                    name=node.name,
                    layer=owner.layer,
                    op=facts.operator.name,
                    module=node.name,
                    cycles=frame_cycles(self.model, node),
                    macs=macs_of(owner, self.graph) if facts.has_weights else 0,
                    folding=_folding(inst),
                    part=facts.operator.part,
                    nodes=computed_nodes(self.model, node, self.graph),
                )
            )
        return layers

    def _output(self) -> Stream:
        last = self.model.find_producer(self.model.graph.output[0].name)
        return self._stream(SINK, last, self.graph.tensors[self.graph.output])

    def _input(self) -> Stream:
        source = self.graph.tensors[self.graph.input]
        first = self.model.find_consumer(self.model.graph.input[0].name)
        inst = self.instances[self.nodes.index(first)]
        dtype = inst.get_input_datatype(0)
        return Stream(
            name=SOURCE,
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
                stream=stream_name(self.model.find_consumer(node.output[0]), node.output[0]),
                limit_port=_limit(node, inst),
            )
            for node, inst in zip(self.nodes, self.instances, strict=True)
            if self._kind(node) is Kind.FIFO
        ]


def _folding(inst: Any) -> dict[str, int]:
    """PE and SIMD where a layer has them, and M where it takes more than one pixel per beat."""
    keys = inst.get_nodeattr_types()
    values = {key: int(inst.get_nodeattr(key)) for key in FOLDING_KEYS if key in keys}
    return {key: value for key, value in values.items() if key != PIXELS or value > 1}


def _limit(node: NodeProto, inst: Any) -> str:
    """The top's port for the depth a FIFO behaves like; empty where its depth is fixed."""
    if "limited" not in inst.get_nodeattr_types() or not inst.get_nodeattr("limited"):
        return ""
    return f"{node.name}_limit"
