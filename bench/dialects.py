"""Files as people have them: which are taken, and whether they are exact.

    python bench/dialects.py [--only TEXT [--add]] [--spread N] [--frames 4] [--rtl 0] [--large]
                             [--files FOLDER]

Each file of tests/support/dialects.py is lowered and its logits compared, with the file in its own
engine (qonnx's executor, or onnxruntime without optimizations), and with exact arithmetic on the
file. The first `--rtl` files of the fewest multiplications go to RTL in Verilator. `--large` takes
the published networks of LARGE to RTL too, each by its folding on its board: the whole design, or
each hardware unit alone, as the unit of the row says. Refused files are listed with their reason.
Files in FOLDER are kept, and those that are there already are not written again. Writes
bench/results/dialects.json and bench/dialects_refused.json. With --only nothing is stored, or with
--add what was measured of these files, in place of what was known of them.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import RESULTS, figure, save, saved

from qdeploy.artifacts import write_json
from qdeploy.build_folder import RTL_FOLDER

if TYPE_CHECKING:
    from dialects import Dialect

    from qdeploy.devices.boards import Board

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))

# AMD Alveo U250 (DS962), as a board for RTL alone: none of ours is as large.
DATA_CENTER = "xcu250"
DATA_CENTER_PART = "xcu250-figd2104-2L-e"
DATA_CENTER_HAS = {
    "lut": 1_728_000,
    "lutram": 791_040,
    "ff": 3_456_000,
    "bram36": 2_688,
    "uram": 1_280,
    "dsp": 12_288,
}
# Published networks in RTL: the board, frames per second, and whether as a whole design.
LARGE: dict[str, tuple[str, float, bool]] = {
    "example/SFC_1W1A": ("pynq-z2", 1e3, True),
    "example/SFC_1W2A": ("pynq-z2", 1e3, True),
    "example/SFC_2W2A": ("pynq-z2", 1e3, True),
    "example/LFC_1W1A": ("pynq-z2", 1e3, True),
    "example/LFC_1W2A": ("pynq-z2", 1e3, True),
    "example/VGG10 1-D": ("zcu104", 1e3, True),
    "example/QuartzNet-style 1-D": ("zcu104", 1e3, True),
    # 11 million weights of 4 bits are more than any board of ours holds.
    "example/ResNet-18_4W4A": (DATA_CENTER, 1e2, False),
    "example/MobileNetV1_4W4A": ("zcu104", 1e2, False),
}
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def main() -> int:
    """Write, lower and compare each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="files whose names contain this")
    parser.add_argument("--add", action="store_true", help="store with --only too")
    parser.add_argument("--frames", type=int, default=4, help="frames per file")
    parser.add_argument("--spread", type=int, help="so many files, evenly over their families")
    parser.add_argument("--rtl", type=int, default=0, help="files that go to RTL")
    parser.add_argument("--large", action="store_true", help="published networks in RTL")
    parser.add_argument("--files", type=Path, help="folder that keeps the files")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from dialect_check import check
    from dialects import all_dialects

    from qdeploy.errors import QDeployError
    from qdeploy.lowering.canonical.executor import foreign_tools

    rows: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    differ: list[str] = []
    taken: dict[str, Any] = {}
    files = all_dialects(arguments.only)
    if arguments.spread:
        files = _spread([file for file in files if not file.large], arguments.spread)
    with tempfile.TemporaryDirectory() as folder:
        for number, dialect in enumerate(files):
            kept = arguments.files or Path(folder)
            kept.mkdir(parents=True, exist_ok=True)
            path, start = kept / f"{number:03d}.onnx", time.monotonic()
            try:
                with foreign_tools("the file"):
                    if not path.exists():
                        dialect.write(path)
            except QDeployError as error:
                refused[dialect.name] = f"its exporter fails: {error.why}"
                print(f"{dialect.name}: {refused[dialect.name]}", flush=True)
                continue
            try:
                found = check(path, dialect.raw, arguments.frames, large=dialect.large)
            except QDeployError as error:
                refused[dialect.name] = error.what
                print(f"{dialect.name}: refused: {refused[dialect.name]}", flush=True)
                continue
            except FAULTS as error:  # ours: it counts as refused, and as a difference
                refused[dialect.name] = f"TRACEBACK {type(error).__name__}: {error}"[:200]
                differ.append(f"{dialect.name}: {refused[dialect.name]}")
                print(differ[-1], flush=True)
                continue
            taken[dialect.name] = found
            values = {
                "qonnx_mismatches": found.engine,
                "float32_ties": found.ties,
                "int_mismatches": found.exact,
                "class_mismatches": found.classes,
            }
            rows += [
                figure(dialect.name, metric, value, "logits")
                for metric, value in values.items()
                if value is not None
            ]
            if found.engine or found.exact or found.classes:
                differ.append(f"{dialect.name}: {values} of {found.logits} {found.note}")
            seconds = time.monotonic() - start
            print(f"{dialect.name}: {values} {found.note} {seconds:.1f} s", flush=True)
        simulated = _simulate(taken, arguments.rtl, Path(folder), rows, differ)
        if arguments.large:
            simulated += _simulate_large(taken, Path(folder), rows, differ)
    counts = {
        "files": len(files),
        "taken": len(taken),
        "refused": len(refused),
        "different": len(differ),
        "without_engine": sum(found.engine is None for found in taken.values()),
        "without_exact_rule": sum(found.exact is None for found in taken.values()),
        "rtl_simulated": simulated,
        "rtl_not_simulated": len(taken) - simulated,
    }
    if not (arguments.only or arguments.spread):
        rows += [figure("all files", metric, value, "files") for metric, value in counts.items()]
        save("dialects", rows)
        write_json(RESULTS.parent / "dialects_refused.json", refused)
    elif arguments.add:
        save("dialects", _added(rows))
    print(counts)
    for line in differ:
        print(f"differs: {line}")
    return 1 if differ else 0


def _spread(files: list[Dialect], count: int) -> list[Dialect]:
    """At most `count` of the files, which stand family by family, at equal distances."""
    count = min(count, len(files))
    return [files[place * len(files) // count] for place in range(count)]


def _added(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows that are stored, with these in place of those of the same file and metric.

    The counts over all files stay those of the run that had them all, but for how many went to RTL.
    """
    new = {(item["network"], item["metric"]) for item in rows}
    known = [item for item in saved("dialects") if (item["network"], item["metric"]) not in new]
    merged = [*[item for item in known if item["network"] != "all files"], *rows]
    simulated = sum(item["metric"] == "rtl_mismatches" for item in merged)
    totals = [item for item in known if item["network"] == "all files"]
    files = {item["metric"]: item["value"] for item in totals}
    counts = {"rtl_simulated": simulated, "rtl_not_simulated": files.get("taken", 0) - simulated}
    return [
        *merged,
        *[item for item in totals if item["metric"] not in counts],
        *[figure("all files", metric, value, "files") for metric, value in counts.items()],
    ]


def _simulate(
    taken: dict[str, Any], count: int, folder: Path, rows: list[dict[str, Any]], differ: list[str]
) -> int:
    """The smallest networks as FINN's hardware layers and in Verilator; returns how many."""
    if not count:
        return 0
    from qdeploy.dataflow.compile import compile_graph
    from qdeploy.dataflow.finn.execute import DataflowExecutor
    from qdeploy.devices.boards import load_board
    from qdeploy.errors import QDeployError
    from qdeploy.ir.reference import run_reference
    from qdeploy.sim.design import simulate_design
    from qdeploy.verify.compare import compare

    done = 0
    for name in sorted(taken, key=lambda key: taken[key].graph.weights_of())[:count]:
        graph, codes = taken[name].graph, taken[name].codes
        work = folder / f"rtl{done}"
        try:
            compiled = compile_graph(graph, load_board("pynq-z2"), work, fps=3e3)
            simulator = simulate_design(work, compiled.design, folder / "models", optimize="-O0")
        except QDeployError as error:
            print(f"{name}: no RTL: {str(error).splitlines()[0]}", flush=True)
            continue
        try:
            run = simulator.run(codes, stall_in=0.4, stall_out=0.4, seed=1)
        except QDeployError as error:
            differ.append(f"{name}: rtl does not run: {str(error).splitlines()[0]}")
            print(differ[-1], flush=True)
            continue
        rungs = {
            "dataflow": DataflowExecutor(compiled.hardware, graph).run(codes),
            "rtl": run.taps | {graph.output: run.outputs},
        }
        reference = run_reference(graph, codes)
        for rung, found in rungs.items():
            result = compare(graph.boundaries(), reference, found)
            rows.append(figure(name, f"{rung}_mismatches", result.mismatches, "codes"))
            print(f"{name}: {rung} {result.mismatches} of {result.codes}", flush=True)
            if result.mismatches:
                differ.append(f"{name}: {rung} {result.mismatches} of {result.codes}")
        done += 1
    return done


def _board(name: str) -> Board:
    from qdeploy.devices.boards import Available, load_board

    if name != DATA_CENTER:
        return load_board(name)
    has = Available(**DATA_CENTER_HAS)
    return load_board("zcu104").model_copy(
        update={"name": name, "part": DATA_CENTER_PART, "resources": has}
    )


def _simulate_large(
    taken: dict[str, Any], folder: Path, rows: list[dict[str, Any]], differ: list[str]
) -> int:
    """The networks of LARGE in Verilator; returns how many."""
    from qdeploy.dataflow.compile import compile_graph
    from qdeploy.errors import QDeployError
    from qdeploy.ir.reference import run_reference
    from qdeploy.sim.design import simulate_design
    from qdeploy.verify.compare import compare
    from qdeploy.verify.inputs import LadderInputs
    from qdeploy.verify.rungs.layer import LayerRung

    done = 0
    for number, (name, (board, fps, whole)) in enumerate(LARGE.items()):
        if name not in taken:
            continue
        graph, codes = taken[name].graph, taken[name].codes
        build, start = folder / f"large{number}", time.monotonic()
        level = "whole design" if whole else "each unit alone"
        try:
            compiled = compile_graph(graph, _board(board), build / RTL_FOLDER, fps=fps)
            if whole:
                simulator = simulate_design(
                    build / RTL_FOLDER, compiled.design, folder / "models", optimize="-O1"
                )
                run = simulator.run(codes, stall_in=0.2, stall_out=0.2, seed=1)
                found = run.taps | {graph.output: run.outputs}
                result = compare(graph.boundaries(), run_reference(graph, codes), found)
                wrong, count = result.mismatches, result.codes
            else:
                inputs = LadderInputs(build, graph, None, codes, folder / "models")
                rung = LayerRung().run(inputs, {}, required=True)
                wrong, count = rung.mismatches, rung.codes
        except QDeployError as error:
            print(f"{name}: no RTL, {board}: {str(error).splitlines()[0]}", flush=True)
            continue
        rows.append(figure(name, "rtl_mismatches", wrong, f"codes, {level}"))
        seconds = time.monotonic() - start
        print(f"{name}: rtl {wrong} of {count}, {level}, {board}, {seconds:.0f} s", flush=True)
        if wrong:
            differ.append(f"{name}: rtl {wrong} of {count}, {level}")
        done += 1
    return done


if __name__ == "__main__":
    sys.exit(main())
