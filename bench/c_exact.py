"""Networks in C against the integer graph: the ladder's networks, and random ones.

    python bench/c_exact.py [--only PATTERN ...] [--resume] [--frames 1000] [--random 200]

Every boundary of every frame is compared. A network of the ladder gets random, calibrated weights
and goes through `export --target c`, whose rung `c` has builds with and without the sanitizers of
gcc; then all frames go through the sanitized build, of which the rung takes as many as take
seconds. A random network is drawn from its own seed and runs as many frames of random codes with
the sanitizers, with one of the choices of --optimize, in turn; twenty of them have rows together.
Failures are listed at the end, and
the exit code is then 1. Writes bench/results/c_exact.json; rows of networks left out with --only
are kept, and --resume leaves out those that have rows for as many frames.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ladder_networks import LADDER, Entry
from record import figure, save, saved

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
BLOCK = 20  # random networks with rows together


def ladder_rows(entry: Entry, frames: int, folder: Path) -> list[dict[str, Any]]:
    """The rung `c` of one network of the ladder."""
    from qdeploy.build.build import build
    from qdeploy.build.options import Options
    from qdeploy.build.source import NetworkSource
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    images = pattern_frames(network.input_shape, frames, seed=1).numpy()
    source = NetworkSource(entry.name, network, images, recipe.quantization.input_bits)
    options = Options(
        Path(entry.recipe),
        target="c",
        argmax=entry.argmax,
        frames=frames,
        require=("c",),
        skip=("torch", "qonnx", "int"),
        cache=folder / "cache",
    )
    made = build(options, folder / entry.name, source=source)
    (rung,) = (one.record() for one in made.rungs if one.name == "c")
    sanitized = sanitized_mismatches(made.folder, folder)
    return [
        figure(entry.name, "mismatches", rung["mismatches"] + sanitized, "codes"),
        figure(entry.name, "frames", rung["frames"], "frames"),
        figure(entry.name, "sanitized_frames", frames, "frames"),
        figure(entry.name, "boundaries", rung["boundaries"], "tensors"),
        figure(entry.name, "compared", rung["codes"], "codes"),
    ]


def sanitized_mismatches(build: Path, folder: Path) -> int:
    """Codes of a build's frames that differ in the sanitized program."""
    from qdeploy.build_folder import C_FOLDER, GRAPH_FILE
    from qdeploy.ir.file import read_graph
    from qdeploy.observer import SILENT
    from qdeploy.verify.frames import load_frames
    from qdeploy.verify.integer_codes import integer_codes
    from qdeploy.verify.native_c import compile_native, program_in
    from qdeploy.verify.rungs.c import SANITIZED, compare_native

    graph, frames = read_graph(build / GRAPH_FILE), load_frames(build).codes
    program = program_in(build, graph)
    binary = compile_native(program, build / C_FOLDER, folder, "sanitized", SANITIZED)
    found = 0
    for first in range(0, len(frames), 100):
        part = frames[first : first + 100]
        reference = integer_codes(graph, part)
        with SILENT.meter("", len(part), "frames") as bar:
            compared = compare_native(program, binary, part, reference, bar)
        found += sum(one.mismatches for one in compared)
    return found


def random_name(seeds: range) -> str:
    """What the rows of random networks of these seeds are of."""
    return f"random networks, seeds {seeds[0]} to {seeds[-1]}"


def random_rows(seeds: range, frames: int, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Random networks, and those that failed."""
    from c_networks import assert_exact
    from draw_networks import RandomDraw, draw_network

    from qdeploy.codegen.c.choices import OPTIMIZE
    from qdeploy.errors import QDeployError
    from qdeploy.lowering.integers.lower import lower_with_affine

    failed, names = [], list(OPTIMIZE)
    for number in seeds:
        network = draw_network(RandomDraw(np.random.default_rng(number)), number)
        path = network.save(folder / f"network{number}.onnx")
        try:
            graph = lower_with_affine(path, argmax="argmax" in network.features).graph
            source, random = graph.tensors[graph.input], np.random.default_rng(number)
            codes = random.integers(source.lo, source.hi + 1, (frames, *source.shape))
            codes[0], codes[-1] = source.hi, source.lo
            optimize = names[number % len(names)]
            assert_exact(graph, codes, folder / f"network{number}", optimize=optimize)
        except (AssertionError, QDeployError) as error:
            failed.append(f"seed {number}: {error}".splitlines()[0])
            print(failed[-1], flush=True)
    name = random_name(seeds)
    return [
        figure(name, "networks", len(seeds), "networks"),
        figure(name, "random_frames", frames, "frames"),
        figure(name, "networks_that_differ", len(failed), "networks"),
    ], failed


def main() -> int:
    """Check what is selected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of network names")
    parser.add_argument("--resume", action="store_true", help="only networks without such rows")
    parser.add_argument("--frames", type=int, default=1000, help="frames of each network")
    parser.add_argument("--random", type=int, default=200, help="random networks")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first random network")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    done = {
        one["network"]
        for one in (saved("c_exact") if arguments.resume else [])
        if one["metric"] in ("sanitized_frames", "random_frames")
        and one["value"] == arguments.frames
    }

    def selected(name: str) -> bool:
        if name in done:
            return False
        return any(fnmatch.fnmatch(name, pattern) for pattern in arguments.only)

    def keep(rows: list[dict[str, Any]]) -> None:
        name = rows[0]["network"]
        save("c_exact", [*(one for one in saved("c_exact") if one["network"] != name), *rows])
        found = {one["metric"]: one["value"] for one in rows}
        print(
            f"{name}: {', '.join(f'{key} {value:,}' for key, value in found.items())}", flush=True
        )

    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        last = arguments.seed + arguments.random
        for first in range(arguments.seed, last, BLOCK):
            seeds = range(first, min(first + BLOCK, last))
            if selected(random_name(seeds)):
                rows, differ = random_rows(seeds, arguments.frames, Path(folder))
                keep(rows)
                failed += differ
        for entry in LADDER:
            if selected(entry.name):
                rows = ladder_rows(entry, arguments.frames, Path(folder))
                keep(rows)
                failed += [entry.name] if rows[0]["value"] or not rows[-1]["value"] else []
    for one in failed:
        print(f"FAILED {one}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
