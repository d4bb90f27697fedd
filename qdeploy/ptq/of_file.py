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
from qdeploy.ptq.calibrate import deterministic
from qdeploy.ptq.calibration import LABEL_COLUMN, Calibration, read_calibration
from qdeploy.ptq.channel_ranges import with_channel_factors
from qdeploy.ptq.comparison import Comparison, compare
from qdeploy.ptq.importing.to_torch import import_float
from qdeploy.ptq.of_module import quantized_module
from qdeploy.ptq.options import PostTraining

DEFAULT = PostTraining()
BATCH = 32
# Fewer frames that no scale was chosen with say little: then all frames are measured.
FEWEST_OTHERS = 100


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
    compare_on: Path | None = None,
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
        compare_on: other frames, with their labels inside, that float and quantized network are
            compared on; by default those of `data` that no scale was chosen with.
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
    tested = given
    if compare_on is not None:
        tested = read_calibration(compare_on, network, raw, observer, label_column=label_column)
        others = torch.arange(len(tested.frames))
    batches = list(given.frames[chosen].split(BATCH))
    source = network.module
    if raw is None:
        source = with_channel_factors(source, given.frames[chosen])
    made = quantized_module(source, batches, options, given.span, observer)
    with observer.warnings(), deterministic(options.seed):
        found = compare(network.module, made, _labelled(tested, others, observer))
        _write(made, network.shape, out, raw)
    unseen = compare_on is not None or len(others) < len(given.frames)
    return QuantizedFile(found, len(chosen), unseen, network.notes)


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
