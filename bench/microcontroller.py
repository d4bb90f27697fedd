"""Networks in C on bare cores under QEMU: instructions per frame, flash, RAM.

    python bench/microcontroller.py [--only PATTERN ...] [--run NAME=FOLDER ...] [--data FOLDER]

Each network gets random weights that are calibrated so that its codes are spread; --run adds those
of a trained run, with a frame of its test set. It is exported to C for all that --optimize knows,
compiled with -O3 (flash: -Os) and run on each core; every boundary of it is compared with the
integer graph before a figure is kept. Writes bench/results/microcontroller.json. Instructions are
QEMU's count; cycles are estimated from them (qdeploy/verify/cycles.py). RAM is arena, input, output
and measured stack. Rows of networks left out with --only are kept.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import figure, rounded, save, saved

if TYPE_CHECKING:
    from qdeploy.build.source import Source

ROOT = Path(__file__).resolve().parent.parent
# Name -> recipe, and the cores that it is run on: a metric begins with what it is optimized for.
NETWORKS = {
    "digits-fcdnn-w2a2": ("quickstart/digits_fcdnn_w2a2.yaml", ("cortex-m0plus", "rv32imc")),
    "resnet8-mlperf-tiny-w2a2": (
        "mlperf_tiny/resnet8_w2a2.yaml",
        ("cortex-m0plus", "cortex-m4", "rv32imc"),
    ),
}

# Of trained runs.
RUN_CORES = ("cortex-m0plus", "cortex-m4")


def random_source(name: str, recipe_name: str) -> Source:
    """A network with random, calibrated weights."""
    from qdeploy.build.source import NetworkSource
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(ROOT / "models" / recipe_name, [])
    network = calibrated_random(recipe)
    images = pattern_frames(network.input_shape, 20, seed=1).numpy()
    return NetworkSource(name, network, images, recipe.quantization.input_bits)


def rows_of(name: str, source: Source, cores: tuple[str, ...], folder: Path) -> list[Any]:
    """Measure one network on its cores."""
    from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE
    from qdeploy.codegen.c.cores import load_core
    from qdeploy.codegen.c.generate import generate
    from qdeploy.codegen.c.plan import constants_of
    from qdeploy.codegen.c.program import program_of
    from qdeploy.ir.reference import run_reference
    from qdeploy.lowering.integers.lower import lower_with_affine
    from qdeploy.verify.compare import compare
    from qdeploy.verify.cycles import CORES as CYCLES
    from qdeploy.verify.cycles import estimated_cycles
    from qdeploy.verify.rungs.c import macs_of
    from qdeploy.verify.rungs.c_bare import run_bare

    source.write_qonnx(folder / f"{name}.onnx")
    graph = lower_with_affine(folder / f"{name}.onnx").graph
    frames = source.frames(graph, 20, 0).codes[:1]
    reference, macs = run_reference(graph, frames), macs_of(program_of(graph))
    rows = [figure(name, "macs", macs, "MAC")]
    for optimize, choices in OPTIMIZE.items():
        program = program_of(graph, choices)
        before = "" if optimize == BALANCED else f"{optimize}_"
        constants = sum(constants_of(step) for step in program.steps)
        rows += [
            figure(name, f"{before}constants", constants, "bytes"),
            figure(name, f"{before}arena", program.memory.size, "bytes"),
            figure(name, f"{before}arena_bound", program.memory.bound, "bytes"),
        ]
        for core in cores:
            # Each core has the kernels that take the fewest instructions there.
            program, sources = program_of(graph, replace(choices, core=core)), folder / core
            sources /= f"{name}-{optimize}"
            sources.mkdir(parents=True)
            generate(program, sources)
            found, measured = run_bare(program, sources, "network", load_core(core), frames)
            result = compare(graph.boundaries(), reference, found)
            if result.first is not None:
                sys.exit(f"{name} on {core}: {result.first.sentence()}")
            ram = measured.arena + program.source.bytes + program.result.bytes + measured.stack
            count = measured.instructions or 0
            figures: tuple[tuple[str, Any, str], ...] = (
                ("mismatches", result.mismatches, "codes"),
                ("instructions_per_frame", count, "instructions"),
                ("macs_per_instruction", rounded(macs / count), "MAC"),
                ("flash", measured.flash, "bytes"),
                ("stack", measured.stack, "bytes"),
                ("ram", ram, "bytes"),
            )
            if core in CYCLES:
                _, cycles = estimated_cycles(program, sources, "network", load_core(core), frames)
                figures = (*figures, ("cycles_estimated", cycles, "cycles"))
            rows += [
                figure(name, f"{before}{core}_{metric}", value, unit)
                for metric, value, unit in figures
            ]
    return rows


def main() -> None:
    """Measure every selected network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of network names")
    parser.add_argument("--run", nargs="+", default=[], help="trained runs, NAME=FOLDER")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from qdeploy.build.source import RunSource

    chosen: list[tuple[str, Callable[..., Source], tuple[Any, ...], tuple[str, ...]]] = [
        (name, random_source, (name, recipe), cores)
        for name, (recipe, cores) in NETWORKS.items()
        if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.only)
    ]
    trained = [one.partition("=") for one in arguments.run]
    with tempfile.TemporaryDirectory() as folder:
        for name, make, given, cores in [
            *chosen,
            *(
                (name, RunSource, (Path(run), arguments.data), RUN_CORES)
                for name, _, run in trained
            ),
        ]:
            rows = rows_of(name, make(*given), cores, Path(folder))
            others = [row for row in saved("microcontroller") if row["network"] != name]
            save("microcontroller", [*others, *rows])
            for row in rows:
                print(f"{name} {row['metric']}: {row['value']:,} {row['unit']}", flush=True)


if __name__ == "__main__":
    main()
