"""All figures of a run in one structure, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from qdeploy.data.dataset import Dataset
from qdeploy.figures import FIGURES
from qdeploy.observer import SILENT, Observer
from qdeploy.training.analysis.flatness import flatness
from qdeploy.training.analysis.noise import activation_noise, weight_sqnr
from qdeploy.training.analysis.size import effective_compression, size
from qdeploy.training.analysis.spectral import layer_norms
from qdeploy.training.analysis.trace import weight_layers
from qdeploy.training.batches import sample
from qdeploy.training.lipschitz import LipschitzTerm
from qdeploy.training.objective import task_loss
from qdeploy.training.run import Run

METRICS = tuple(FIGURES)


@dataclass(frozen=True)
class Settings:
    """How much work goes into the figures.

    Args:
        frames: test images for the noise.
        loss_frames: training images for the flatness.
        directions, radius, points: as in `flatness`.
        seed: of images and directions.
    """

    frames: int = 128
    loss_frames: int = 512
    directions: int = 5
    radius: float = 0.5
    points: int = 11
    seed: int = 0


def analyze(
    run: Run, dataset: Dataset, settings: Settings, observer: Observer = SILENT
) -> dict[str, Any]:
    """Layers, quantizers, totals and flatness of a finished run.

    Numbers that are not finite are None: an infinite SQNR (float weights), a gain without noise.

    Args:
        dataset: the one the run was trained on.
        observer: gets progress, and warnings of other packages.
    """
    with observer.warnings():
        report: dict[str, Any] = _finite(_figures(run, dataset, settings, observer))
    return report


def _figures(run: Run, dataset: Dataset, settings: Settings, observer: Observer) -> dict[str, Any]:
    input_bits = run.recipe.quantization.input_bits
    generator = torch.Generator().manual_seed(settings.seed)
    test, _ = sample(dataset.test, input_bits, settings.frames, generator)
    layers = weight_layers(run.network, test[:1])
    total = size(run.network, layers)
    noise, output_noise = activation_noise(run.network, test)
    images, labels = sample(dataset.train, input_bits, settings.loss_frames, generator)
    flat = flatness(
        run.network,
        images,
        labels,
        loss=partial(task_loss, dataset),
        directions=settings.directions,
        radius=settings.radius,
        points=settings.points,
        seed=settings.seed,
        observer=observer,
    )
    rows, terms = [], LipschitzTerm(run.network).by_layer()
    for layer in layers:
        norm, norm_quantized, norm_gained = layer_norms(layer)
        rows.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "weights": layer.layer.weight.numel(),
                "weight_bits": layer.weight_bits,
                "input_bits": layer.input_bits,
                "macs": layer.macs,
                "bit_operations": layer.macs * layer.weight_bits * layer.input_bits,
                "sqnr_db": weight_sqnr(layer),
                "spectral_norm": norm,
                "spectral_norm_quantized": norm_quantized,
                "spectral_norm_with_batch_norm": norm_gained,
                "lipschitz": terms[layer.name],
            }
        )
    return {
        "name": run.name,
        "phases": [
            {"name": phase["name"], "kind": phase["kind"]}
            | {key: phase[key] for key in METRICS if key in phase}
            for phase in run.summary["phases"]
        ],
        "totals": {
            **asdict(total),
            "compression": total.compression,
            "effective_compression": None,
            "output_noise_db": output_noise,
        },
        "layers": rows,
        "activations": [asdict(one) for one in noise],
        "flatness": {**asdict(flat), "rise": flat.rise},
        "settings": asdict(settings),
    }


def compare_family(reports: list[dict[str, Any]]) -> None:
    """Fill in the effective compression ratios of several runs of a family, in place."""
    family = [
        (report["totals"]["weights"], measure_of(phase))
        for report in reports
        for phase in [p for p in report["phases"] if p["kind"] == "pretrain"][-1:]
    ]
    for report in reports:
        report["totals"]["effective_compression"] = effective_compression(
            measure_of(report["phases"][-1]), report["totals"]["weight_bits"], family
        )


def labels_apart(reports: Sequence[dict[str, Any]]) -> list[str]:
    """A label for each report: its `name`, with its folder `run` where others have it too."""
    names = [str(report["name"]) for report in reports]
    return [
        name if names.count(name) == 1 else f"{name} ({report['run']})"
        for name, report in zip(names, reports, strict=True)
    ]


def measure_of(phase: dict[str, Any]) -> float:
    """The measure of a phase: mIoU for segmentation, R² for regression, accuracy otherwise."""
    value: float = next(phase[name] for name in ("miou", "r2", "accuracy") if name in phase)
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
