"""Simulate a whole stitched design: frames of codes in, codes at every boundary out.

Codes come and go in the order of the integer graph; on the streams they travel as `ir.layout` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.design.loading import CONFIG_PORT, STATUS
from qdeploy.design.manifest import Design, Stream
from qdeploy.design.packing import pack, unpack
from qdeploy.errors import InternalError, VerificationError
from qdeploy.ir.layout import graph_shape, to_graph_order, to_stream_order
from qdeploy.scratch import scratch_folder
from qdeploy.sim.cut_top import CUT_CLOCK, cut_ports, cut_top
from qdeploy.sim.level import level_of
from qdeploy.sim.model import build_model
from qdeploy.sim.simulator import Beats, Cycles, SimResult, Simulator
from qdeploy.sim.spec import Port, SimSpec

IntArray = npt.NDArray[np.int64]

TAPS_MACRO = "QD_TAPS"
FILL_BITS = 16
# No port may shake hands while the slowest layer works on a frame; four times that is a deadlock.
IDLE_FRAMES = 4
IDLE_CYCLES = 10_000
DRAIN_CYCLES = 32


@dataclass(frozen=True)
class DesignResult:
    """What a run of a design gave.

    Args:
        outputs: (frames, *shape) codes of the output.
        taps: (frames, *shape) codes of every tapped tensor, by tensor name; empty without taps.
        cycles: cycles until the last output beat, reset not counted.
        cycles_per_frame: median distance between the ends of consecutive frames; with one frame
            only, its latency.
        latency_cycles: from the first input beat of frame 0 to its last output beat, both counted.
        fifo_max: the most words each FIFO held, by instance name; empty without taps.
        tap_beats: (beats, bytes) of every tap, in the order of the model's taps.
        ends: (frames,) the cycle of each frame's last output beat.
        status: what the design says of the last image at the end, by port; empty where it takes
            none.
    """

    outputs: IntArray
    taps: dict[str, IntArray]
    cycles: int
    cycles_per_frame: int
    latency_cycles: int
    fifo_max: dict[str, int]
    tap_beats: list[Beats] = field(default_factory=list)
    ends: Cycles = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    status: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """Bytes for the configuration stream of a design.

    They are offered as soon as the frames before them are in, which may still be under way, and
    the frames after them as soon as the first byte is taken: the design keeps them apart itself.

    Args:
        data: the image.
        before: frames that come before it.
    """

    data: bytes
    before: int


class DesignSimulator:
    """A built model of a design.

    Args:
        tensors: what each tap of the model carries, None where it is no tensor of the integer
            graph; the design's taps when not given.
    """

    def __init__(
        self,
        simulator: Simulator,
        design: Design,
        tensors: Sequence[Stream | None] | None = None,
    ) -> None:
        self.simulator, self.design = simulator, design
        self.tapped = bool(simulator.spec.taps)
        self.tensors = design.taps if tensors is None else tensors

    def run(
        self,
        codes: npt.ArrayLike,
        stall_in: float = 0.0,
        stall_out: float = 0.0,
        seed: int = 0,
        *,
        pace: Fraction = Fraction(0),
        limits: Mapping[str, int] | None = None,
        max_cycles: int | None = None,
        images: Sequence[Image] = (),
    ) -> DesignResult:
        """Send frames back to back and collect what comes out.

        Args:
            codes: (frames, *shape) input codes, at least one frame.
            stall_in: chance, each cycle, that the next input beat is held back.
            stall_out: chance, each cycle, that the output is not ready.
            seed: of the stalls.
            pace: cycles per frame: input beat i is not offered before cycle i·pace / (beats per
                frame).
            limits: limit port -> depth that FIFO behaves like, of a design for sizing.
            max_cycles: most cycles to run; without end when None.
            images: of weights that are loaded in between, in their order.

        Raises:
            DeadlockError: the design is deadlocked, or not done after `max_cycles`; names every
                FIFO's fill.
            ProtocolError: a stream broke a rule of AXI-Stream, or too many beats came.
            VerificationError: TLAST is not exactly at the ends of frames, or a tap did not carry
                whole frames.
        """
        design = self.design
        frames = np.asarray(codes)
        wanted = graph_shape(design.input.shape)
        if frames.shape[1:] != wanted or not len(frames):
            raise InternalError(f"`{design.name}` takes (frames, *{wanted}), not {frames.shape}")
        ordered = to_stream_order(frames, frames=True)
        beats = pack(ordered, design.input.bits, design.input.per_beat)
        silence = IDLE_FRAMES * design.cycles_per_frame
        if not self.tapped:
            # All frames may be in before the first result is out, which takes each layer's cycles
            # one after the other at most.
            silence += sum(layer.cycles for layer in design.layers)
        busy = 1.0 - max(stall_in, stall_out)
        config, order = _configuration(images, design.input.beats, len(beats))
        further = len(self.simulator.spec.inputs) - 1  # the configuration stream
        if images and not further:
            raise InternalError(f"`{design.name}` takes no weights at run time")
        result = self.simulator.run(
            [beats, *([config] * further)],
            [design.output.beats * len(frames)],
            stall_in=stall_in,
            stall_out=stall_out,
            seed=seed,
            idle_limit=IDLE_CYCLES + int(silence / busy),
            ends=[[], [len(image.data) for image in images]],
            order=order,
            # Pixels that no later window needs are still under way when the last output is out.
            drain=DRAIN_CYCLES + 2 * design.cycles_per_frame if self.tapped else DRAIN_CYCLES,
            max_cycles=max_cycles,
            pace=[pace / design.input.beats, *([Fraction(0)] * further)],
            controls=limits,
        )
        return self._read(result, len(frames))

    def _read(self, result: SimResult, frames: int) -> DesignResult:
        design = self.design
        self._check_last(result, frames)
        taps = self.tensors if self.tapped else []
        ends = result.output_cycles[0].reshape(frames, -1)[:, -1]
        latency = int(ends[0] - result.input_cycles[0][0]) + 1
        return DesignResult(
            outputs=decode(design.output, result.outputs[0], frames),
            taps={
                tap.tensor: decode(tap, beats, frames)
                for tap, beats in zip(taps, result.taps, strict=True)
                if tap is not None
            },
            cycles=result.cycles,
            cycles_per_frame=_distance(ends) if frames > 1 else latency,
            latency_cycles=latency,
            fifo_max={
                fifo.name: result.probe_max[fifo.fill_port]
                for fifo in design.fifos
                if fifo.fill_port in result.probe_max
            },
            tap_beats=result.taps,
            ends=ends,
            status={
                name: result.probe_final[name] for name, _ in STATUS if name in result.probe_final
            },
        )

    def _check_last(self, result: SimResult, frames: int) -> None:
        lasts = result.lasts[0]
        beats = self.design.output.beats
        expected = np.arange(1, frames * beats + 1) % beats == 0
        if lasts is None or np.array_equal(lasts, expected):
            return
        beat = int(np.flatnonzero(lasts != expected)[0])
        raise VerificationError(
            f"`{self.design.name}`: TLAST is {int(lasts[beat])} at beat {beat % beats} of frame "
            f"{beat // beats}, which has {beats} beats",
            why="a DMA engine ends its transfer there",
        )


def _configuration(
    images: Sequence[Image], frame: int, beats: int
) -> tuple[Beats, list[tuple[int, int, int, int]]]:
    """Beats of the configuration stream, and the order of both inputs as `Simulator.run` takes it.

    Args:
        frame: beats of a frame; `beats`: of all frames.
    """
    order, offset = [], 0
    for image in images:
        first = image.before * frame
        order.append((1, offset, 0, first))
        if first < beats:
            order.append((0, first, 1, offset + 1))
        offset += len(image.data)
    data = np.frombuffer(b"".join(image.data for image in images), dtype=np.uint8)
    return data.reshape(-1, 1), order


def input_ports(design: Design) -> list[Port]:
    """The ports that take beats: frames, and the configuration stream of a design that has one."""
    config = [] if design.loading is None else [Port(CONFIG_PORT, 8, last=True)]
    return [Port(design.input.name, design.input.width), *config]


def simulate_design(
    folder: Path,
    design: Design,
    build_dir: Path,
    taps: bool = True,
    optimize: str | None = None,
) -> DesignSimulator:
    """Build the model of a design folder, or take it from `build_dir` when nothing changed.

    Args:
        taps: compile with QD_TAPS: watch every boundary and every FIFO's fill. The layers of such
            a model can be cut loose too (`sim.cut_top`), unless its FIFOs have limits or the design
            was stitched before its streams were recorded.
        optimize: of the C++ compiler, as `sim.level` says; None for that of a build.

    Raises:
        ToolMissingError: Verilator, g++ or make is not installed.
        ToolFailedError: the design does not compile, or not without a warning.
    """
    watched: Sequence[Stream] = design.taps if taps else []
    limits = [fifo.limit_port for fifo in design.fifos if fifo.limit_port]
    spec = SimSpec(
        top=design.top,
        sources=[folder / name for name in design.sources],
        folder=folder,
        inputs=input_ports(design),
        outputs=[Port(design.output.name, design.output.width, last=True)],
        defines={TAPS_MACRO: ""} if taps else {},
        taps=[Port(tap.name, tap.width) for tap in watched],
        probes=[
            *((fifo.fill_port, FILL_BITS) for fifo in (design.fifos if taps else [])),
            *(STATUS if design.loading is not None else ()),
        ],
        controls=[(port, FILL_BITS) for port in limits],
        optimize=optimize or level_of(design),
    )
    if not taps or limits or not design.streams:
        return DesignSimulator(build_model(spec, build_dir), design)
    with scratch_folder("cut") as scratch:
        return DesignSimulator(build_model(_cuttable(spec, design, scratch), build_dir), design)


def _cuttable(spec: SimSpec, design: Design, scratch: Path) -> SimSpec:
    """The design with a top whose layers can be cut loose, written into `scratch`."""
    ports = cut_ports(design)
    sources = []
    for source in spec.sources:
        if Path(source).stem == design.top:
            text = cut_top(design, Path(source).read_text(encoding="utf-8"))
            source = scratch / Path(source).name
            source.write_text(text, encoding="utf-8")
        sources.append(source)
    return dataclasses.replace(
        spec,
        sources=sources,
        cut_clock=CUT_CLOCK,
        part_inputs=list(ports.inputs.values()),
        part_outputs=list(ports.outputs.values()),
    )


def decode(stream: Stream, beats: Beats, frames: int) -> IntArray:
    """Codes (frames, *shape in the integer graph) of the beats of a stream.

    Raises:
        VerificationError: they are not as many as the frames have.
    """
    if len(beats) != stream.beats * frames:
        raise VerificationError(
            f"`{stream.tensor}` gave {len(beats)} beats in {frames} frames, "
            f"not {stream.beats * frames}",
            where=f"port {stream.name}",
        )
    codes = unpack(beats, stream.bits, stream.per_beat, stream.signed)
    shaped = codes.reshape(frames, *stream.shape)
    return np.ascontiguousarray(to_graph_order(shaped, frames=True))


def _distance(ends: Cycles) -> int:
    return int(np.median(np.diff(ends)))
