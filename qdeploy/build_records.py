"""What the JSON files of a build folder hold: a record is a file as it is.

Older builds may lack keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Required

from pydantic import Field

# pydantic needs this before Python 3.12.
from typing_extensions import TypedDict

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Figure = Annotated[float, Field(ge=0, le=1e18)]
Share = Annotated[float, Field(ge=0, le=1)]


class BuildRecord(TypedDict, total=False):
    """`build.json`: what was requested and what made the build.

    Keys:
        frames: where the frames come from, None for a build without.
        accuracy_int, miou_int: of the integer network on the test set, in [0, 1], or None.
        r2_int, mae_int: likewise of predicted numbers, in their units.
        source: its `kind`, `files`, name -> hex SHA-256 of what was read of it, `recipe_sha256` of
            what a run's recipe says, `classes`, `predicts_numbers` and `input_bits`.
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
    r2_int: float | None
    mae_int: Figure | None
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
    epochs: Count
    kept_epoch: Count | None
    seconds: Figure
    accuracy: Share | None
    miou: Share | None
    r2: float | None
    mae: Figure | None


class SummaryRecord(TypedDict, total=False):
    """`summary.json` of the training run that a build came from.

    Keys:
        by_class: as `classes.json`, of the trained network on the test set.
    """

    name: str
    phases: list[PhaseRecord]
    seconds: Figure
    protocol: dict[str, Any]
    provenance: dict[str, Any]
    by_class: ClassesRecord | None


class EpochRecord(TypedDict, total=False):
    """A row of `metrics.jsonl`; see `training.metrics.EpochMetrics`."""

    phase: str
    phase_index: Count
    kind: str
    epoch: Count
    epochs: Count
    lr: Figure
    loss: float
    lipschitz: float
    train_accuracy: Share | None
    train_miou: Share | None
    validation_accuracy: Share | None
    validation_miou: Share | None
    accuracy: Share | None
    miou: Share | None
    train_r2: float | None
    validation_r2: float | None
    r2: float | None
    train_mae: Figure | None
    validation_mae: Figure | None
    mae: Figure | None
    kept_epoch: Count | None
    images_per_second: Figure
    seconds: Figure


class WeightsOfLayer(TypedDict):
    """The weights of one layer, in steps of their scale.

    Keys:
        lo: the least code that a level has.
        counts: how many weights have each code, from `lo` on.
        histogram: of the weights before quantization, `per_step` bins for a step, the first from
            half a step below `lo`; weights further out are in the first and last bin. Empty where
            they are not known.
    """

    layer: str
    bits: Count
    lo: int
    counts: list[Count]
    histogram: list[Count]
    per_step: Count


class WeightsRecord(TypedDict):
    """`weights.json`: how the weights of each layer lie among their levels."""

    layers: list[WeightsOfLayer]


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


class RiskyPathRecord(TypedDict, total=False):
    """One path of `static_timing.json`; `hops` are its nets that need routing."""

    name: Required[str]
    fmax_mhz: Required[Figure]
    path_from: Required[str]
    path_to: Required[str]
    hops: Required[Count]
    path: list[str]


class StaticTimingRecord(TypedDict, total=False):
    """`static_timing.json`: paths by the delays of their cells; see `synth.design_paths`.

    Keys:
        paths: that of the flattened design, then the longest of each layer, longest first.
    """

    source: Required[str]
    paths: Required[list[RiskyPathRecord]]


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
        allowed: by resource: the most that the design was allowed, where that is less.
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
    allowed: dict[str, Figure]
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


class NeighboursRecord(TypedDict):
    """What lies around a code that differs; see `verify.compare.Neighbours`."""

    before: str
    differing: Count
    codes: Count
    corner: list[Count]
    expected: list[list[int]]
    actual: list[list[int]]


class DifferenceRecord(TypedDict):
    """The first code that differs: `details.first_difference` of a rung in `verify.json`."""

    boundary: str
    frame: Count
    index: list[Count]
    expected: int
    actual: int
    around: NeighboursRecord


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
