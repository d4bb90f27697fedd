"""A build folder: the name of every file in it, and a typed reader of each that holds figures.

One place for the names and keys, so that the stage that writes a file and those that read it agree.
A record is a JSON file as it is; older builds may lack keys, and a build lacks the files of what
was left out or could not run. What has a type of its own is read by that:

    model.graph.safetensors   qdeploy.ir.file.read_graph          an IntegerGraph
    rtl/                      read_design below                    a Design
    frames.npz                qdeploy.verify.frames.load_frames    Frames
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Required, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

# pydantic needs these before Python 3.12.
from typing_extensions import TypedDict

from qdeploy.bounded import read_json
from qdeploy.design.manifest import DESIGN_FILE, Design
from qdeploy.errors import UserError

T = TypeVar("T")
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Figure = Annotated[float, Field(ge=0, le=1e18)]
Share = Annotated[float, Field(ge=0, le=1)]

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
VERIFY_FILE = "verify.json"
CLASSES_FILE = "classes.json"
REPORT_FILE = "report.html"
# Of the run folder a build came from.
SUMMARY_FILE = "summary.json"
# What the target made.
PACKAGE_FOLDER = "package"
# Beside the build folder: results stored by content; compiled models are in a folder of it.
CACHE_FOLDER = ".cache"
SIM_FOLDER = "sim"
PROOFS_FOLDER = "proofs"


class BuildRecord(TypedDict, total=False):
    """`build.json`: what was requested and what made the build.

    Keys:
        frames: where the frames come from, None for a build without.
        accuracy_int, miou_int: of the integer network on the test set, in [0, 1], or None.
        source: its `kind`, `files`, name -> hex SHA-256 of what was read of it, `recipe_sha256` of
            what a run's recipe says, `classes` and `input_bits`.
        frames_kept: how many frames the build was verified with.
        files: name -> hex SHA-256; of every file, in older builds of the networks only.
        digest: of all the rest of this record; see `qdeploy.self_digest`.
    """

    name: str
    options: dict[str, Any]
    source: dict[str, Any]
    frames: str | None
    frames_kept: Count | None
    accuracy_int: Share | None
    miou_int: Share | None
    synthesized: bool
    fifo_depths: str | None
    logit_scale: float | None
    notes: list[str]
    files: dict[str, str]
    versions: dict[str, str]
    git: str | None
    machine: dict[str, Any]
    digest: str


class PhaseRecord(TypedDict, total=False):
    """One phase of a run's `summary.json`."""

    name: str
    kind: str
    accuracy: Share | None
    miou: Share | None


class SummaryRecord(TypedDict, total=False):
    """`summary.json` of the training run that a build came from."""

    name: str
    phases: list[PhaseRecord]


class ClassesRecord(TypedDict, total=False):
    """`classes.json`: the integer network on the test set, class by class.

    Keys:
        confusion: frames by their class (rows) and the class that the network says (columns).
        precision, recall, f1: by class; 0 where the test set has none or the network says none.
        balanced_accuracy: mean recall of the classes that occur.
        roc_auc: of two classes, where the network gives logits.
    """

    classes: Required[list[str]]
    frames: Count
    confusion: Required[list[list[Count]]]
    accuracy: Required[Share]
    balanced_accuracy: Required[Share]
    precision: Required[list[Share]]
    recall: Required[list[Share]]
    f1: Required[list[Share]]
    roc_auc: Share | None


class PerformanceRecord(TypedDict, total=False):
    """`performance.json`: cycles measured in the RTL simulation; see `verify.performance`."""

    clock_mhz: Figure
    clock: str
    cycles_per_frame: Positive
    latency_cycles: Count
    fps: Figure
    source: str
    expected_cycles_per_frame: Count
    bottleneck: str


class TimingRecord(TypedDict, total=False):
    """`timing.json`: the design placed and routed for another part; see `synth.place_design`."""

    part: str
    fmax_mhz: Figure
    path_from: str
    path_to: str
    path: list[str]
    used: dict[str, Count]
    source: str


class LayerResourcesRecord(TypedDict, total=False):
    """One layer of `resources.json`."""

    name: Required[str]
    layer: str
    op: str
    module: str
    folding: dict[str, Count]
    cycles: Count
    lut: Count
    lutram: Count
    srl: Count
    ff: Count
    bram36: Figure
    uram: Count
    dsp: Count


class ResourcesRecord(TypedDict, total=False):
    """`resources.json`: what synthesis counted; see `synth.figures`.

    Keys:
        available, limits: by resource: what the part has, and the share a design may take.
        outside: what lies in no layer.
        skipped: why there are no figures.
    """

    board: str
    part: str
    lut: Count
    lutram: Count
    srl: Count
    ff: Count
    bram36: Figure
    uram: Count
    dsp: Count
    available: dict[str, Figure]
    limits: dict[str, Figure]
    fits: bool
    source: str
    notes: list[str]
    outside: dict[str, Figure]
    layers: list[LayerResourcesRecord]
    skipped: str


class RungRecord(TypedDict, total=False):
    """One rung of `verify.json`; see `verify.results.RungResult`."""

    name: Required[str]
    frames: Count
    boundaries: Count
    codes: Count
    mismatches: Count
    origins: Count
    wrong: Count
    must_be_exact: bool
    class_mismatches: Count
    skipped: str
    compared: str
    coverage: dict[str, Share]
    refused: str
    note: str
    details: dict[str, Any]
    passed: bool


class VerifyRecord(TypedDict, total=False):
    """`verify.json`: what the ladder found.

    Keys:
        files: of a later verification: how many were `checked`, which are `wrong` and why.
        package: of a verification of the package too: its `problems`, in sentences.
    """

    frames: Count
    passed: bool
    files: dict[str, Any]
    package: dict[str, Any]
    rungs: list[RungRecord]


class FifoRecord(TypedDict, total=False):
    """One FIFO of `fifos.json`; depth 0 where simulation found that none is needed."""

    name: str
    stream: str
    width: Count
    analytic: Count
    mark: Count
    depth: Count
    held: Count
    held_stalled: Count


class FifosRecord(TypedDict, total=False):
    """`fifos.json`: depths found by simulation; see `build.steps.size_fifos`."""

    source: str
    frames: Count
    runs: Count
    cycles_per_frame: dict[str, Figure]
    stall: Figure
    words: Count
    words_analytic: Count
    fifos: list[FifoRecord]


class LayerEstimateRecord(TypedDict, total=False):
    """One layer of `estimates.json`: LUTs, BRAM36s and DSPs by both estimates."""

    qdeploy: dict[str, Figure] | None
    finn: dict[str, Figure] | None


class EstimatesRecord(TypedDict, total=False):
    """`estimates.json`: estimates of every layer, by name."""

    part: str
    layers: dict[str, LayerEstimateRecord]


class BoardRecord(TypedDict, total=False):
    """The network on one larger board, of `boards.json`."""

    board: Required[str]
    part: str
    clock_mhz: Required[Figure]
    cycles_per_frame: Required[Count]
    fps: Required[Figure]
    lut: Required[Count]
    ff: Count
    bram36: Required[Figure]
    dsp: Required[Count]
    dma_bound: Required[bool]


class BoardsRecord(TypedDict, total=False):
    """`boards.json`: what larger boards would give, or a note why there is nothing."""

    board: str
    source: str
    boards: list[BoardRecord]
    note: str


def read_build(folder: Path) -> BuildRecord | None:
    """`build.json`; as `read_record`, None when there is none."""
    return read_record(folder / BUILD_FILE, BuildRecord)


def read_summary(run: Path) -> SummaryRecord | None:
    """`summary.json` of a run folder; as `read_record`, None when there is none."""
    return read_record(run / SUMMARY_FILE, SummaryRecord)


def read_performance(folder: Path) -> PerformanceRecord | None:
    """`performance.json`; as `read_record`, None when the RTL was not simulated."""
    return read_record(folder / PERFORMANCE_FILE, PerformanceRecord)


def read_resources(folder: Path) -> ResourcesRecord | None:
    """`resources.json`; as `read_record`, None without synthesis."""
    return read_record(folder / RESOURCES_FILE, ResourcesRecord)


def read_timing(folder: Path) -> TimingRecord | None:
    """`timing.json`; as `read_record`, None when the design was not placed and routed."""
    return read_record(folder / TIMING_FILE, TimingRecord)


def read_verify(folder: Path) -> VerifyRecord | None:
    """`verify.json`; as `read_record`, None when the ladder has not run."""
    return read_record(folder / VERIFY_FILE, VerifyRecord)


def read_classes(folder: Path) -> ClassesRecord | None:
    """`classes.json`; as `read_record`, None without a test set of frames with one class each."""
    found = read_record(folder / CLASSES_FILE, ClassesRecord)
    if found is not None:
        count = len(found["classes"])
        lists = (found[key] for key in ("confusion", "precision", "recall", "f1"))
        if not count or any(len(one) != count for one in (*lists, *found["confusion"])):
            raise _unreadable(folder / CLASSES_FILE, "its lists are not as long as its classes")
    return found


def read_fifos(folder: Path) -> FifosRecord | None:
    """`fifos.json`; as `read_record`, None when depths were not found by simulation."""
    return read_record(folder / FIFOS_FILE, FifosRecord)


def read_estimates(folder: Path) -> EstimatesRecord | None:
    """`estimates.json`; as `read_record`, None without estimates."""
    return read_record(folder / ESTIMATES_FILE, EstimatesRecord)


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
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise _unreadable(path, f"{key}: {first['msg']}") from error
    record: T = data
    return record


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"`{path.name}` cannot be read",
        where=str(path),
        why=why,
        do="run `qdeploy export` again",
    )
