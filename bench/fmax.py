"""The clock each block of hw/rtl reaches after place and route, and that of whole designs.

    python bench/fmax.py [--only PATTERN ...] [--store FOLDER] [--paths]

For an ECP5-85F of speed grade 6 as a conservative stand-in: no package registry has place and route
for the boards' own parts. Yosys' `synth_ecp5 -abc9`, without DSP blocks unless the block asks for
them; nextpnr's default placer and router, `--freq 125 --seed 1`. Each block, with the parameters of
fmax_blocks.py, is placed twice: between registers, which is what bench/static_timing.py is fitted
to, and in a stream, as in designs: each input comes from a FIFO that is block RAM, each output
goes into a stream register whose `ready` follows that after it. The designs of DESIGNS take
minutes each. A row is stored as soon as it is measured. Writes bench/results/fmax.json with the
rows `fmax`; rows left out with --only are kept. Exits with 1 if anything stays below 100 MHz.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from fmax_blocks import Timed, timed_blocks
from ladder_networks import FAMILIES, Entry
from record import row, save, saved

from qdeploy.dataflow.rtl.library import FOLDER
from qdeploy.dataflow.rtl.unit import Block, Instance, Unit, padded, single
from qdeploy.design.library_text import library_text
from qdeploy.devices.ecp5 import PROGRAM
from qdeploy.resources import resource
from qdeploy.synth.nextpnr import NextPnr, Timing, nextpnr_version
from qdeploy.synth.place_design import place_design
from qdeploy.synth.timing_harness import TOP, Port, harness, stream_ports

ROOT = Path(__file__).resolve().parent.parent
CLOCK_MHZ = 100.0
TIMEOUT_S = 3 * 3600.0  # whole networks on one busy core
CORE = "core"
# Rows of blocks in a stream; more words than fit into LUT RAM.
FED, FED_WORDS = ", in a stream", 300
SHELL = "export/pynq/rtl/qd_shell_regs.v"
# Networks of ladder_networks.py at other rates; FIFO depths by the skew of branches.
DESIGNS = (
    ("digits-fcdnn-w2a2", 50_000.0),
    ("digits-fcdnn-w2a2", 3_000_000.0),
    ("fashion-convnet-w2a2", 5_000.0),
    ("resnet8-mlperf-tiny", 2_000.0),
    ("resnet8-mlperf-tiny", 10_000.0),
    ("resnet11-depthwise", 1_000.0),
    ("deeplab-mobilenetv2", 2_000.0),
)


def in_a_stream(block: Block) -> Unit:
    """The block between what feeds and what follows it in designs."""

    def fifo(bits: int, words: int, source: str, sink: str) -> Instance:
        parameters = {"WIDTH": bits, "DEPTH": words}
        return Instance(Block("qd_fifo", parameters, (bits,), (bits,)), (source,), (sink,))

    fed = tuple(f"fed{index}" for index in range(len(block.in_bits)))
    made = tuple(f"made{index}" for index in range(len(block.out_bits)))
    before = (fifo(block.in_bits[k], FED_WORDS, f"in{k}", name) for k, name in enumerate(fed))
    after = (fifo(block.out_bits[k], 1, name, f"out{k}") for k, name in enumerate(made))
    return Unit((*before, Instance(block, fed, made), *after))


def time_block(block: Timed, tool: NextPnr, *, fed: bool = False) -> Timing:
    """Place and route one block in the wrapper a design has around it.

    Args:
        fed: with what feeds and follows it, too.
    """
    unit = in_a_stream(block.block) if fed else single(block.block)
    ports: list[Port] = [Port(name, bits, False) for name, bits in block.block.probes.items()]
    for index, bits in enumerate(unit.in_bits):
        ports += stream_ports(f"in{index}_V", padded(bits), into=True, upper=True)
    for index, bits in enumerate(unit.out_bits):
        ports += stream_ports(f"out{index}_V", padded(bits), into=False, upper=True)
    files = {f"{CORE}.v": unit.verilog(CORE)}
    files |= {f"{TOP}.v": harness(CORE, ports, clock="ap_clk", reset="ap_rst_n")}
    files |= {name: (resource(FOLDER) / name).read_text("utf-8") for name in unit.files}
    memories = {name: "\n".join(lines) + "\n" for name, lines in block.memories.items()}
    return _placed(tool, files, memories, dsp=block.dsp)


def time_shell(tool: NextPnr) -> Timing:
    """Place and route the registers of the PYNQ package's shell."""
    text = library_text(resource(SHELL).read_text("utf-8"), loadable=False)
    ports = [
        Port(name, int(top or 0) + 1, way == "input")
        for way, top, name in re.findall(r"^ +(\w+put) +\w+ +(?:\[ *(\d+):0\] )?(\w+)", text, re.M)
        if name not in ("clk", "rst_n")
    ]
    module = Path(SHELL).stem
    return _placed(tool, {Path(SHELL).name: text, f"{TOP}.v": harness(module, ports)}, {})


def _placed(
    tool: NextPnr, files: dict[str, str], memories: dict[str, str], *, dsp: bool = False
) -> Timing:
    """Place and route the given files."""
    with tempfile.TemporaryDirectory(prefix="qdeploy-fmax-") as scratch:
        folder = Path(scratch)
        for name, text in {**files, **memories}.items():
            (folder / name).write_text(text, encoding="utf-8")
        return tool.run(folder, list(files), TOP, dsp=dsp, memories=list(memories))


def time_design(tool: NextPnr, entry: Entry, fps: float) -> Timing:
    """Place and route a whole design, with registers on its streams."""
    from qdeploy.dataflow.compile import compile_graph
    from qdeploy.devices.boards import load_board
    from qdeploy.lowering.from_torch.export import export_qonnx_file
    from qdeploy.lowering.integers.lower import lower
    from qdeploy.networks.calibrated import calibrated_random
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    with tempfile.TemporaryDirectory(prefix="qdeploy-fmax-") as scratch:
        folder = Path(scratch) / "rtl"
        export_qonnx_file(network, network.input_shape, Path(scratch) / "network.onnx")
        graph = lower(Path(scratch) / "network.onnx")
        design = compile_graph(graph, load_board("pynq-z2"), folder, fps=fps).design
        placed = place_design(folder, design, tool)
    print(f"longest path from {placed.source} to {placed.sink}", flush=True)
    return placed.timing


def measurements(tool: NextPnr) -> Iterator[tuple[str, Callable[[], Timing]]]:
    """Name and measurement of every row."""
    for block in timed_blocks():
        yield block.name, lambda block=block: time_block(block, tool)
        yield block.name + FED, lambda block=block: time_block(block, tool, fed=True)
    yield Path(SHELL).stem, lambda: time_shell(tool)
    entries = {entry.name: entry for entry in FAMILIES}
    for name, fps in DESIGNS:
        entry = entries[name]
        yield f"design {name} at {fps:,.0f}/s", lambda e=entry, f=fps: time_design(tool, e, f)


def main() -> None:
    """Measure the selected blocks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of row names")
    store = ROOT / "build/.cache/nextpnr"
    parser.add_argument("--store", type=Path, default=store, help="kept results [build/.cache]")
    parser.add_argument("--paths", action="store_true", help="print each longest path")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    tool = NextPnr(arguments.store, timeout_s=TIMEOUT_S)
    chosen = list(measurements(tool))
    slow = []
    for name, measure in chosen:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in arguments.only):
            continue
        timing = measure()
        print(f"{timing.fmax_mhz:7.1f} MHz  {name}", flush=True)
        if arguments.paths:
            # Steps along carry chains take a few hundredths: only the others tell something.
            steps = [step for step in timing.path if float(step.split()[0]) >= 0.1]
            print("".join(f"      {step[:120]}\n" for step in steps), end="")
        made = {one["network"]: one for one in saved("fmax")}
        made[name] = row(name, "fmax", timing.fmax_mhz, "MHz", "the boards' clock", CLOCK_MHZ)
        rows = [made[one] for one, _ in chosen if one in made]
        save("fmax", rows, {PROGRAM: nextpnr_version(PROGRAM)})
        slow += [name] if timing.fmax_mhz < CLOCK_MHZ else []
    print(tool.source)
    if slow:
        sys.exit(f"below {CLOCK_MHZ:g} MHz: " + ", ".join(slow))


if __name__ == "__main__":
    main()
