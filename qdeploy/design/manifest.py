"""The design: what dataflow makes and simulation, synthesis, targets and verification read.

A design folder holds plain Verilog, memory files and `design.json`. All paths in it are relative to
that folder; a simulator or synthesizer runs with the folder as its working directory.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from qdeploy.artifacts import write_json
from qdeploy.bounded import read_json
from qdeploy.design.loading import Loading
from qdeploy.design.read import checked
from qdeploy.errors import UserError

DESIGN_FILE = "design.json"
# Of an element of a stream.
MAX_BITS = 32
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"\w[\w./-]*", re.ASCII)
# Key of a layer's folding: pixels per beat of its input.
PIXELS = "M"


@dataclass(frozen=True)
class Stream:
    """A tensor on an AXI-Stream port of the top: which codes travel in which beat and bit.

    The elements of a frame go out in the order of `shape` (row-major; feature maps are height,
    width, channels), `per_beat` elements per beat, element 0 in the least significant bits, each
    `bits` wide (two's complement when `signed`), TDATA padded with zeros to whole bytes.

    Args:
        name: prefix of the port's signals (`s_axis`, `m_axis`, or a tap's `tap0`).
        tensor: the integer graph's tensor it carries.
        shape: (F,) for a vector; (H, W, C) for a map, such as the logits (H', W', classes) of a
            segmentation network; (1,) or (H', W', 1) for classes found in hardware.
        bits: of an element, 1 to 32.
        per_beat: a divisor of the number of elements.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    bits: int
    signed: bool
    per_beat: int

    @property
    def elements(self) -> int:
        """Elements per frame."""
        return prod(self.shape)

    @property
    def beats(self) -> int:
        """Beats per frame."""
        return self.elements // self.per_beat

    @property
    def bytes_per_beat(self) -> int:
        """Width of TDATA in bytes."""
        return (self.bits * self.per_beat + 7) // 8

    @property
    def width(self) -> int:
        """Width of TDATA in bits, a multiple of 8."""
        return 8 * self.bytes_per_beat


@dataclass(frozen=True)
class End:
    """One end of a connection.

    Args:
        module: of a layer; empty for the top itself.
        port: `in0`, `out1`, … of a layer's wrapper; the name of the top's input or output.
    """

    module: str
    port: str


@dataclass(frozen=True)
class Connection:
    """A stream inside the top, from one port to another.

    Its wires in the top are `d<number>`, `v<number>` and `r<number>`: data, valid, ready.

    Args:
        number: its place in the design's list.
        width: of its data in bits, a multiple of 8.
        source, sink: where beats come from, and where they go.
        tap: name of the tap that watches it, None where there is none.
        elements: per frame; 0 in the file of a design made before they were recorded.
        per_beat: elements per beat, element 0 in the least significant bits.
        bits, signed: of an element; two's complement where `signed`.
    """

    number: int
    width: int
    source: End
    sink: End
    tap: str | None = None
    elements: int = 0
    per_beat: int = 1
    bits: int = 1
    signed: bool = False


@dataclass(frozen=True)
class Fifo:
    """A FIFO of the design.

    Args:
        name: instance name.
        depth: words.
        width: bits per word.
        fill_port: the top's port for its fill, when compiled with QD_TAPS.
        stream: the input it feeds, `<layer>.<number of its input>`; this name stays the same when
            depths change.
        limit_port: the top's port for the depth to behave like, of a design for sizing only.
    """

    name: str
    depth: int
    width: int
    fill_port: str
    stream: str = ""
    limit_port: str = ""


@dataclass(frozen=True)
class Layer:
    """One hardware layer, a module of its own in the design.

    Args:
        name: instance name, which carries the recipe's layer name.
        layer: the recipe's layer name.
        op: FINN's operator (`MVAU`, `ConvolutionInputGenerator`, …).
        module: Verilog module name of the wrapper.
        cycles: expected cycles per frame at steady state.
        folding: PE, SIMD and the like.
        macs: multiplications per frame that the network asks of this layer; 0 where it has no
            weights.
        part: of the design that it is counted as in reports; empty in the file of a design made
            before there were parts.
        nodes: of the integer graph that it computes, in their order; for a padding or a window the
            convolution or pool that it serves; none for what only carries codes on (a FIFO, a width
            converter, a fork), and none in the file of a design made before they were recorded.
    """

    name: str
    layer: str
    op: str
    module: str
    cycles: int
    folding: dict[str, int] = field(default_factory=dict)
    macs: int = 0
    part: str = ""
    nodes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Design:
    """A stitched design. `top` has clk, rst_n, `input` and `output` (with TLAST) and, when compiled
    with the macro QD_TAPS, one port group for each tap and one fill port for each FIFO.

    `streams` are the connections inside the top; there are none in the file of a design that was
    stitched before they were recorded. `loading` says what the stream `s_axis_config` writes, where
    weights and thresholds are loaded at run time."""

    name: str
    top: str
    board: str
    part: str
    clock_mhz: float
    sources: list[str]
    memories: list[str]
    input: Stream
    output: Stream
    taps: list[Stream]
    fifos: list[Fifo]
    layers: list[Layer]
    logit_scale: float | None = 1.0
    streams: list[Connection] = field(default_factory=list)
    loading: Loading | None = None

    @property
    def cycles_per_frame(self) -> int:
        """Expected cycles between frames at steady state: the slowest layer's."""
        return max(layer.cycles for layer in self.layers)

    def connections(self) -> list[Connection]:
        """The streams, by number.

        Raises:
            UserError: the design was stitched before they were recorded.
        """
        if not self.streams:
            raise UserError(
                f"the design `{self.name}` does not say how its layers are connected",
                why=f"its `{DESIGN_FILE}` was written by an earlier version of qdeploy",
                do="run `qdeploy export` again",
            )
        return self.streams

    def ports_of(self, module: str) -> dict[str, Connection]:
        """The streams at the ports of a layer's module, by port: inputs, then outputs.

        Raises:
            UserError: the design was stitched before they were recorded.
        """
        streams = self.connections()
        inputs = {one.sink.port: one for one in streams if one.sink.module == module}
        outputs = {one.source.port: one for one in streams if one.source.module == module}
        return dict(sorted(inputs.items())) | dict(sorted(outputs.items()))

    def tap_of(self, connection: Connection) -> Stream | None:
        """What watches a stream, None where nothing does."""
        return next((tap for tap in self.taps if tap.name == connection.tap), None)

    def save(self, folder: Path) -> None:
        """Write `design.json` into `folder`."""
        write_json(folder / DESIGN_FILE, dataclasses.asdict(self))

    @staticmethod
    def load(folder: Path) -> Design:
        """Read `design.json`.

        Raises:
            UserError: when there is none, it cannot be read, or it contradicts itself.
        """
        path = folder / DESIGN_FILE
        try:
            design = checked(Design, read_json(path), "design")
            _check(design)
        except (OSError, ValueError) as error:
            raise UserError(
                f"`{folder}` holds no complete design",
                where=str(path),
                why=str(error),
                do="run `qdeploy export` again",
            ) from error
        return design


def _check(design: Design) -> None:
    """That what was read makes sense.

    Raises:
        ValueError: it does not.
    """
    _check_names(design)
    if not design.layers or any(layer.cycles < 0 for layer in design.layers):
        raise ValueError("there are no layers, or one of negative cycles")
    if not design.cycles_per_frame or not 0 < design.clock_mhz < 1e6:
        raise ValueError("no layer takes a cycle, or the clock is no rate")
    for layer in design.layers:
        if min(layer.folding.values(), default=1) < 1 or layer.macs < 0:
            raise ValueError(f"layer `{layer.name}`: invalid folding or number of products")
        if layer.macs and not {"PE", "SIMD"} <= set(layer.folding):
            raise ValueError(f"layer `{layer.name}` has weights, and no PE and SIMD")
    for stream in (design.input, design.output, *design.taps):
        sizes = (*stream.shape, stream.bits, stream.per_beat)
        if not stream.shape or min(sizes) < 1 or stream.bits > MAX_BITS:
            raise ValueError(f"stream `{stream.name}`: invalid shape, width or number per beat")
        if stream.elements % stream.per_beat:
            raise ValueError(f"stream `{stream.name}`: the last beat of a frame is not full")
    if any(fifo.depth < 1 or fifo.width < 1 for fifo in design.fifos):
        raise ValueError("a FIFO has no words, or words of no bits")
    if design.streams:
        _check_streams(design)
    if design.loading is not None:
        _check_loading(design, design.loading)


def _check_names(design: Design) -> None:
    """Names reach the command lines and scripts of tools: they are plain ones, and paths inside
    the folder."""
    for names, ending in ((design.sources, ".v"), (design.memories, ".hex")):
        for name in names:
            if not _PATH.fullmatch(name) or ".." in name or not name.endswith(ending):
                raise ValueError(f"`{name}` is not a path inside the folder of a `{ending}` file")
    ports = [design.input.name, design.output.name, *(tap.name for tap in design.taps)]
    for fifo in design.fifos:
        ports += [fifo.fill_port, *([fifo.limit_port] if fifo.limit_port else [])]
    for name in (design.top, *ports, *(layer.module for layer in design.layers)):
        if not _IDENTIFIER.fullmatch(name):
            raise ValueError(f"`{name}` is not a name of Verilog")


def _check_loading(design: Design, loading: Loading) -> None:
    if not loading.loads or any(min(one.bits, one.words) < 1 for one in loading.loads):
        raise ValueError("nothing is loaded, or a memory of no bits or words")
    if not {*loading.modules} <= {layer.module for layer in design.layers}:
        raise ValueError("a module that is loaded is no layer")
    if not {name for one in loading.loads for name in one.files} <= {*design.memories}:
        raise ValueError("a memory that is loaded is no file of the design")


def _check_streams(design: Design) -> None:
    modules = {"", *(layer.module for layer in design.layers)}
    taps = Counter(tap.name for tap in design.taps)
    ends: Counter[tuple[End, bool]] = Counter()
    for index, one in enumerate(design.streams):
        if one.number != index or one.width < 8 or one.width % 8:
            raise ValueError(f"stream {index}: invalid number or width")
        if one.elements and (
            min(one.elements, one.per_beat, one.bits) < 1
            or one.elements % one.per_beat
            or (one.bits * one.per_beat + 7) // 8 * 8 != one.width
        ):
            raise ValueError(f"stream {index}: elements, bits and width do not go together")
        if {one.source.module, one.sink.module} - modules:
            raise ValueError(f"stream {index} ends at a module that is no layer")
        if one.tap is not None:
            taps.subtract([one.tap])
        ends.update([(one.source, True), (one.sink, False)])
    if any(taps.values()):
        raise ValueError("the taps are not those of the streams")
    if max(ends.values()) > 1:
        raise ValueError("a port has two streams")
    if not {(End("", design.input.name), True), (End("", design.output.name), False)} <= set(ends):
        raise ValueError("no stream comes from the input, or none goes to the output")
