"""A build folder: the name of every file in it, and a typed reader of each that holds figures.

One place for the names and keys, so that the stage that writes a file and those that read it agree.
What the files hold is in `build_records`; a build lacks those of what was left out, or could not
run. What has a type of its own is read by that:

    model.graph.safetensors   qdeploy.ir.file.read_graph          an IntegerGraph
    rtl/                      read_design below                    a Design
    frames.npz                qdeploy.verify.frames.load_frames    Frames
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from qdeploy.bounded import MAX_JSON_BYTES, parse_json, read_bounded, read_json
from qdeploy.build_records import (
    BoardsRecord,
    BuildRecord,
    ClassesRecord,
    EpochRecord,
    EstimatesRecord,
    FifosRecord,
    PerformanceRecord,
    ResourcesRecord,
    StaticTimingRecord,
    SummaryRecord,
    TimingRecord,
    VerifyRecord,
    WeightsRecord,
)
from qdeploy.c_plan_record import CPlanRecord
from qdeploy.design.manifest import DESIGN_FILE, Design
from qdeploy.errors import UserError

T = TypeVar("T")

# What was requested, and what came of it.
BUILD_FILE = "build.json"
# A copy of the resolved recipe, in a build of a trained run.
RECIPE_FILE = "recipe.yaml"
# The network at every level.
QONNX_FILE = "model.qonnx.onnx"
GRAPH_FILE = "model.graph.safetensors"
INT_FILE = "model.int.onnx"
HARDWARE_FILE = "model.dataflow.onnx"
FOLDING_FILE = "folding.yaml"
RTL_FOLDER = "rtl"
# The network in C, and the choices it was made with.
C_FOLDER = "c"
C_PLAN_PATH = Path(C_FOLDER) / "plan.json"
SYNTH_FOLDER = "synth"
DESIGN_PATH = Path(RTL_FOLDER) / DESIGN_FILE
NETLIST_PATH = Path(SYNTH_FOLDER) / "netlist.v"
NETLIST_ORIGIN_PATH = Path(SYNTH_FOLDER) / "netlist.json"
# Frames, and what was found with them.
FRAMES_FILE = "frames.npz"
FIFOS_FILE = "fifos.json"
ESTIMATES_FILE = "estimates.json"
BOARDS_FILE = "boards.json"
PERFORMANCE_FILE = "performance.json"
RESOURCES_FILE = "resources.json"
TIMING_FILE = "timing.json"
STATIC_TIMING_FILE = "static_timing.json"
VERIFY_FILE = "verify.json"
CLASSES_FILE = "classes.json"
WEIGHTS_FILE = "weights.json"
REPORT_FILE = "report.html"
# Of the run folder a build came from; a build has a copy of the first.
METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"
# What the target made.
PACKAGE_FOLDER = "package"
# Beside the build folder: results stored by content; compiled models are in a folder of it.
CACHE_FOLDER = ".cache"
SIM_FOLDER = "sim"
PROOFS_FOLDER = "proofs"


def read_build(folder: Path) -> BuildRecord | None:
    """`build.json`; as `read_record`, None when there is none."""
    return read_record(folder / BUILD_FILE, BuildRecord)


def read_summary(run: Path) -> SummaryRecord | None:
    """`summary.json` of a run folder; as `read_record`, None when there is none."""
    found = read_record(run / SUMMARY_FILE, SummaryRecord)
    by_class = None if found is None else found.get("by_class")
    if by_class is not None:
        _check_lengths(run / SUMMARY_FILE, by_class)
    return found


def read_performance(folder: Path) -> PerformanceRecord | None:
    """`performance.json`; as `read_record`, None when the RTL was not simulated."""
    return read_record(folder / PERFORMANCE_FILE, PerformanceRecord)


def read_resources(folder: Path) -> ResourcesRecord | None:
    """`resources.json`; as `read_record`, None without synthesis."""
    return read_record(folder / RESOURCES_FILE, ResourcesRecord)


def read_timing(folder: Path) -> TimingRecord | None:
    """`timing.json`; as `read_record`, None when the design was not placed and routed."""
    return read_record(folder / TIMING_FILE, TimingRecord)


def read_static_timing(folder: Path) -> StaticTimingRecord | None:
    """`static_timing.json`; as `read_record`, None where it was not made."""
    return read_record(folder / STATIC_TIMING_FILE, StaticTimingRecord)


def has_c(folder: Path) -> bool:
    """Whether a build has C sources."""
    return (folder / C_PLAN_PATH).is_file()


def read_c_plan(folder: Path) -> CPlanRecord | None:
    """`c/plan.json`; as `read_record`, None in a build without C sources."""
    return read_record(folder / C_PLAN_PATH, CPlanRecord)


def read_verify(folder: Path) -> VerifyRecord | None:
    """`verify.json`; as `read_record`, None when the ladder has not run."""
    return read_record(folder / VERIFY_FILE, VerifyRecord)


def read_classes(folder: Path) -> ClassesRecord | None:
    """`classes.json`; as `read_record`, None without a test set of frames with one class each."""
    found = read_record(folder / CLASSES_FILE, ClassesRecord)
    if found is not None:
        _check_lengths(folder / CLASSES_FILE, found)
    return found


def _check_lengths(path: Path, found: ClassesRecord) -> None:
    count = len(found["classes"])
    lists = (found[key] for key in ("confusion", "precision", "recall", "f1"))
    if not count or any(len(one) != count for one in (*lists, *found["confusion"])):
        raise _unreadable(path, "its lists are not as long as its classes")


def read_fifos(folder: Path) -> FifosRecord | None:
    """`fifos.json`; as `read_record`, None when depths were not found by simulation."""
    return read_record(folder / FIFOS_FILE, FifosRecord)


def read_estimates(folder: Path) -> EstimatesRecord | None:
    """`estimates.json`; as `read_record`, None without estimates."""
    return read_record(folder / ESTIMATES_FILE, EstimatesRecord)


def read_weights(folder: Path) -> WeightsRecord | None:
    """`weights.json`; as `read_record`, None for a network from a file, or of an older build."""
    return read_record(folder / WEIGHTS_FILE, WeightsRecord)


def read_metrics(folder: Path) -> list[EpochRecord] | None:
    """The rows of `metrics.jsonl`, of a run folder or of a build that was made of one; None when
    there is no such file.

    Raises:
        UserError: it cannot be read, or one of its lines is damaged.
    """
    path = folder / METRICS_FILE
    do = "put the file back, or remove it: reports then leave the curves out"
    try:
        text = read_bounded(path, MAX_JSON_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error), do=do) from error
    adapter, rows = TypeAdapter(EpochRecord), []
    for at, line in enumerate(text.splitlines(), 1):
        try:
            rows.append(adapter.validate_python(parse_json(line), strict=True))
        except ValidationError as error:
            raise _unreadable(path, _first_of(error), f":{at}", do) from error
        except ValueError as error:
            raise _unreadable(path, str(error), f":{at}", do) from error
    return rows


def read_boards(folder: Path) -> BoardsRecord | None:
    """`boards.json`; as `read_record`, None when no boards were looked at."""
    return read_record(folder / BOARDS_FILE, BoardsRecord)


def read_design(folder: Path) -> Design:
    """The stitched design.

    Raises:
        UserError: the folder holds no complete design.
    """
    return Design.load(folder / RTL_FOLDER)


def has_design(folder: Path) -> bool:
    """Whether the build has a design: those for targets without hardware have none."""
    return (folder / DESIGN_PATH).is_file()


def read_record(path: Path, kind: type[T]) -> T | None:
    """The JSON object in `path`, None when there is no such file.

    Args:
        kind: of record; keys may be missing and others may be there, values are of their types.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        data = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        TypeAdapter(kind).validate_python(data, strict=True)
    except ValidationError as error:
        raise _unreadable(path, _first_of(error)) from error
    record: T = data
    return record


def _first_of(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{key}: {first['msg']}"


def _unreadable(
    path: Path, why: str, place: str = "", do: str = "run `qdeploy export` again"
) -> UserError:
    return UserError(f"`{path.name}` cannot be read", where=f"{path}{place}", why=why, do=do)
