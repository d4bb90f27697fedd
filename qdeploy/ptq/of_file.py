"""A float ONNX file becomes a QONNX file, quantized without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from qdeploy.artifacts import atomic_path
from qdeploy.errors import UserError
from qdeploy.ir.input_codes import RawType
from qdeploy.lowering.canonical.input_type import declare_type
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.observer import SILENT, Observer
from qdeploy.ptq.calibrate import calibrate, deterministic
from qdeploy.ptq.calibration import LABEL_COLUMN, Calibration, read_calibration
from qdeploy.ptq.comparison import Comparison, compare
from qdeploy.ptq.equalize import equalized
from qdeploy.ptq.importing.to_torch import import_float
from qdeploy.ptq.options import PostTraining
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.quantize import quantize_module

DEFAULT = PostTraining()
BATCH = 32
# Fewer frames that no scale was chosen with say little: then all frames are measured.
FEWEST_OTHERS = 100
_FIRST_SAMPLES = 1 << 10  # of scales that are chosen anew afterwards


@dataclass(frozen=True)
class QuantizedFile:
    """What became of a file.

    Args:
        comparison: float and quantized network on frames.
        calibrated_with: frames that scales were chosen with.
        unseen: whether the comparison is on other frames than these.
        notes: what a person should know of how the file was read.
    """

    comparison: Comparison
    calibrated_with: int
    unseen: bool
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            **self.comparison.to_json(),
            "images": self.calibrated_with,
            "unseen": self.unseen,
            "notes": list(self.notes),
        }


def quantize_file(
    path: Path,
    out: Path,
    data: Path,
    options: PostTraining = DEFAULT,
    *,
    raw: RawType | None = None,
    labels: Path | None = None,
    label_column: str = LABEL_COLUMN,
    force: bool = False,
    observer: Observer = SILENT,
) -> QuantizedFile:
    """Quantize a float network and write it as a QONNX file that `qdeploy export` takes.

    Args:
        path: the float network, an ONNX file with one input and one output.
        out: the QONNX file.
        data: calibration frames (`calibration.read_calibration`).
        options: bits and methods.
        raw: what integers in the frames mean; by default what the file says.
        labels: labels of the frames, where `data` has none.
        label_column: of a CSV file.
        force: replace `out`.
        observer: gets notes and progress.

    Raises:
        UserError: the file is quantized already, or `out` exists.
        UnsupportedLayerError: what cannot be quantized, all of it named.
        DataError: the frames are not those of the network.
    """
    _check_out(path, out, force)
    network = import_float(path)
    for note in network.notes:
        observer.note(f"note: {note}")
    raw = raw or network.raw
    given = read_calibration(data, network, raw, observer, labels=labels, label_column=label_column)
    chosen, others = _divided(given, options)
    batches = list(given.frames[chosen].split(BATCH))
    with observer.warnings(), deterministic(options.seed):
        source: nn.Module = network.module
        if "equalize" in options.methods:
            source = equalized(source, batches)
        made = quantize_module(
            source,
            quantization_of(options),
            batches[0],
            input_range=given.span,
            samples=_FIRST_SAMPLES,
        ).network
        calibrate(made, batches, options, observer)
        found = compare(network.module, made, _labelled(given, others, observer))
        _write(made, network.shape, out, raw)
    return QuantizedFile(found, len(chosen), len(others) < len(given.frames), network.notes)


def quantization_of(options: PostTraining) -> Quantization:
    """The section `quantization` that gives these bits."""
    return Quantization(
        weight_bits=options.weight_bits,
        activation_bits=options.activation_bits,
        first_layer_bits=options.end_bits,
        last_layer_bits=options.end_bits,
        residual_bits=options.residual_bits,
        scale="power_of_two" if options.power_of_two else "float",
        weight_scaling="per_channel" if options.per_channel else "per_layer",
    )


def _divided(given: Calibration, options: PostTraining) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the frames to calibrate with, and of those to compare on."""
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(given.frames), generator=generator)
    chosen, others = order[: options.images], order[options.images :]
    every = torch.arange(len(order))
    return chosen, others.sort().values if len(others) >= FEWEST_OTHERS else every


def _labelled(
    given: Calibration, places: torch.Tensor, observer: Observer
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    for part in observer.track(places.split(BATCH), "comparing", unit="batches"):
        yield given.frames[part], None if given.labels is None else given.labels[part]


def _check_out(path: Path, out: Path, force: bool) -> None:
    if out.suffix != ".onnx":
        raise UserError(f"`{out}` does not end in .onnx", do="choose another name with --out")
    if out.exists() and (not force or out.resolve() == path.resolve()):
        raise UserError(
            f"`{out}` exists",
            do="choose another name with --out, or replace the file with --force",
        )


def _write(network: nn.Module, shape: tuple[int, ...], out: Path, raw: RawType | None) -> None:
    with atomic_path(out) as temporary:
        export_qonnx_file(network, shape, temporary)
        if raw is not None:
            model = onnx.load(temporary)
            declare_type(model, raw)
            onnx.save(model, temporary)
