"""Simulate the synthesized netlist of a design: all of it at once, or block by block.

    whole   netlist.v with the models of its cells (hw/sim/xc7), watched at every boundary
    blocks  the netlist of the top around the layers' RTL, which records every stream between the
            layers; then groups of layers, each layer from its netlist, fed with the beats recorded
            at its inputs, random stalls on every port: the outputs must be the recorded ones

Both use the netlist exactly as synthesis wrote it. A vector of a netlist often runs in circles when
taken as a whole (a carry chain, say), so Verilator is told to split all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qdeploy.design.loading import CONFIG_PORTS
from qdeploy.design.manifest import Design
from qdeploy.errors import ToolFailedError, UserError, VerificationError
from qdeploy.scratch import scratch_folder
from qdeploy.sim.cut_top import CUT_CLOCK, CutPorts, cut_ports, cut_top, port_declarations
from qdeploy.sim.design import (
    IDLE_CYCLES,
    IDLE_FRAMES,
    DesignResult,
    DesignSimulator,
    IntArray,
    input_ports,
)
from qdeploy.sim.model import build_model
from qdeploy.sim.netlist_text import Module, cell_sources, primitives, unmodelled
from qdeploy.sim.simulator import Beats, Simulator
from qdeploy.sim.spec import Port, SimSpec
from qdeploy.sim.watched_top import watch_port, watched_name, watched_top

_REFUSED = "without_a_model"


class UnmodelledError(UserError):
    """The netlist has a cell, or uses a cell in a way, for which there is no simulation model."""


@dataclass(frozen=True)
class SynthesizedDesign:
    """A synthesized design.

    Args:
        folder: of the design's RTL.
        design: its manifest.
        modules: of the netlist, by name.
        cache: folder of compiled models.
    """

    folder: Path
    design: Design
    modules: Mapping[str, Module]
    cache: Path

    def __post_init__(self) -> None:
        if missing := unmodelled(self.modules):
            raise UnmodelledError(f"there is no simulation model of the cell {', '.join(missing)}")

    @property
    def cells(self) -> int:
        """Primitive cells of the whole netlist."""
        return sum(primitives(self.modules, self.modules).values())

    @property
    def layers(self) -> list[str]:
        """Modules of the layers, in the design's order."""
        return list(dict.fromkeys(layer.module for layer in self.design.layers))

    def cells_of(self, module: str) -> int:
        """Primitive cells of one module."""
        return sum(primitives(self.modules, [module]).values())


def simulate_whole(netlist: SynthesizedDesign, optimize: str) -> DesignSimulator:
    """Model of the whole netlist, with a tap at every boundary; its layers can be cut loose.

    Raises:
        UnmodelledError: a cell is used in a way there is no model for.
        UserError: the design does not say how its layers are connected.
        ToolMissingError: Verilator, g++ or make is not installed.
    """
    design = netlist.design
    watching = {one.tap: one for one in design.connections()}
    streams = [watching[tap.name] for tap in design.taps]
    simulator = _built(
        netlist,
        watched_name(design),
        list(netlist.modules),
        extra=watched_top(design, streams, [*port_declarations(design), *_config_ports(design)]),
        rtl=[],
        inputs=input_ports(design),
        outputs=[Port(design.output.name, design.output.width, last=True)],
        taps=[watch_port(stream) for stream in streams],
        optimize=optimize,
        cut=True,
    )
    return DesignSimulator(simulator, design)


@dataclass(frozen=True)
class Recording:
    """A run of the netlist's top around the layers' RTL.

    Args:
        result: outputs, and the codes at every boundary.
        beats: every beat of every stream, by number.
    """

    result: DesignResult
    beats: dict[int, Beats]


def record(
    netlist: SynthesizedDesign, frames: IntArray, stall: float, seed: int, optimize: str
) -> Recording:
    """Run the frames through the netlist's top, all layers being RTL, and record every stream.

    Raises:
        VerificationError: as `DesignSimulator.run`; or a stream did not carry whole frames.
    """
    design = netlist.design
    streams = design.connections()
    top = next(name for name in design.sources if Path(name).stem == design.top)
    simulator = _built(
        netlist,
        watched_name(design),
        [design.top],
        extra=watched_top(design, streams, _config_ports(design)),
        rtl=[name for name in design.sources if name != top],
        inputs=input_ports(design),
        outputs=[Port(design.output.name, design.output.width, last=True)],
        taps=[watch_port(stream) for stream in streams],
        optimize=optimize,
    )
    shown = DesignSimulator(simulator, design, tensors=[design.tap_of(one) for one in streams])
    result = shown.run(frames, stall_in=stall, stall_out=stall, seed=seed)
    beats = {one.number: got for one, got in zip(streams, result.tap_beats, strict=True)}
    for number, found in beats.items():
        if len(found) % len(frames):
            raise VerificationError(
                f"stream {number} of `{design.top}` carried {len(found)} beats in {len(frames)} "
                "frames, not the same number in each"
            )
    return Recording(result, beats)


def _config_ports(design: Design) -> Sequence[tuple[str, int, str]]:
    return () if design.loading is None else CONFIG_PORTS


def groups(netlist: SynthesizedDesign, most_cells: int) -> list[list[str]]:
    """The layers' modules in groups of at most `most_cells` primitives, or of one module."""
    made: list[list[str]] = []
    left = 0
    for module in netlist.layers:
        cells = netlist.cells_of(module)
        if not made or cells > left:
            made.append([])
            left = most_cells
        made[-1].append(module)
        left -= cells
    return made


def compile_group(netlist: SynthesizedDesign, group: Sequence[str], optimize: str) -> Simulator:
    """Model of a group of layers, side by side; ports as `group_ports` lists them."""
    inputs, outputs = group_ports(netlist, group)
    return _built(
        netlist,
        "qd_blocks",
        list(group),
        extra=_side_by_side(netlist, group),
        rtl=[],
        inputs=inputs,
        outputs=outputs,
        taps=[],
        optimize=optimize,
    )


def group_ports(netlist: SynthesizedDesign, group: Sequence[str]) -> tuple[list[Port], list[Port]]:
    """Input and output ports of a group's model: `<module>_in0`, `<module>_out0`, …"""
    inputs: list[Port] = []
    outputs: list[Port] = []
    for module in group:
        for port, stream in netlist.design.ports_of(module).items():
            found = Port(f"{module}_{port}", stream.width)
            (inputs if port.startswith("in") else outputs).append(found)
    return inputs, outputs


def replay(
    netlist: SynthesizedDesign,
    simulator: Simulator,
    group: Sequence[str],
    recorded: Recording,
    stall: float,
    seed: int,
) -> dict[str, Beats]:
    """Send a group what was recorded at its inputs; what each of its output ports gave.

    Raises:
        VerificationError: a layer is deadlocked, gives too much, or breaks a rule of AXI-Stream.
    """
    at = {
        f"{module}_{port}": recorded.beats[stream.number]
        for module in group
        for port, stream in netlist.design.ports_of(module).items()
    }
    spec = simulator.spec
    busy = 1.0 - stall
    result = simulator.run(
        [at[port.prefix] for port in spec.inputs],
        [len(at[port.prefix]) for port in spec.outputs],
        stall_in=stall,
        stall_out=stall,
        seed=seed,
        idle_limit=IDLE_CYCLES + int(IDLE_FRAMES * netlist.design.cycles_per_frame / busy),
    )
    return {port.prefix: got for port, got in zip(spec.outputs, result.outputs, strict=True)}


def _side_by_side(netlist: SynthesizedDesign, group: Sequence[str]) -> str:
    ports, instances = ["input wire clk", "input wire rst_n"], []
    for module in group:
        connections = [".ap_clk(clk)", ".ap_rst_n(rst_n)"]
        for port, stream in netlist.design.ports_of(module).items():
            data, ready = ("input", "output") if port.startswith("in") else ("output", "input")
            name = f"{module}_{port}"
            ports.append(f"{data} wire [{stream.width - 1}:0] {name}_tdata")
            ports += [f"{data} wire {name}_tvalid", f"{ready} wire {name}_tready"]
            for role in ("tdata", "tvalid", "tready"):
                connections.append(f".{port}_V_{role.upper()}({name}_{role})")
        if "fill" in netlist.modules[module].ports:
            connections.append(".fill()")
        if "config_in" in netlist.modules[module].ports:
            connections += [".config_in(10'd0)", ".config_out()"]  # its memories stay as they are
        instances.append(f"  {module} {module}_i (\n    " + ",\n    ".join(connections) + ");")
    head = ",\n  ".join(ports)
    return f"module qd_blocks (\n  {head}\n);\n" + "\n".join(instances) + "\nendmodule\n"


def _built(
    netlist: SynthesizedDesign,
    top: str,
    modules: Sequence[str],
    *,
    extra: str,
    rtl: Sequence[str],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    taps: Sequence[Port],
    optimize: str,
    cut: bool = False,
) -> Simulator:
    """Build a model of `top`, in `extra`, over modules of the netlist and files of the RTL; with
    the layers of the design's top cut loose on demand where `cut`."""
    design = netlist.design
    chosen = {module: netlist.modules[module].text for module in modules}
    if cut:
        chosen[design.top] = cut_top(design, chosen[design.top])
    parts = cut_ports(design) if cut else CutPorts({}, {})
    with scratch_folder("netlist") as scratch:
        texts = {
            "netlist.v": "\n".join(chosen.values()) + "\n",
            "netlist_top.v": extra,
        }
        for file, text in texts.items():
            (scratch / file).write_text(text, encoding="utf-8")
        spec = SimSpec(
            top=top,
            sources=[
                *(scratch / file for file in texts),
                *cell_sources(primitives(netlist.modules, modules)),
                *(netlist.folder / file for file in rtl),
            ],
            folder=netlist.folder,
            inputs=inputs,
            outputs=outputs,
            taps=taps,
            cut_clock=CUT_CLOCK if cut else "",
            part_inputs=list(parts.inputs.values()),
            part_outputs=list(parts.outputs.values()),
            settings=verilator_settings(modules),
            optimize=optimize,
        )
        try:
            return build_model(spec, netlist.cache)
        except ToolFailedError as error:
            if _REFUSED in (error.why or ""):
                raise UnmodelledError(
                    "a cell of the netlist is used in a way there is no simulation model for",
                    where=error.where,
                    why=error.why,
                ) from error
            raise


def verilator_settings(modules: Sequence[str]) -> str:
    """Verilator's configuration file for a netlist: split every vector, allow open ports."""
    lines = [
        "`verilator_config",
        'lint_off -rule PINMISSING -file "*netlist.v"',
        'lint_off -rule SPLITVAR -file "*netlist*.v"',
        'lint_off -rule WIDTH -file "*/sim/xc7/*"',  # Yosys' parameters are wider or narrower
        *(f'split_var -module "{module}" -var "*"' for module in modules),
    ]
    return "\n".join(lines) + "\n"
