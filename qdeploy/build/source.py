"""What a build starts from: a trained run folder, or a QONNX file from anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from qdeploy.artifacts import sha256
from qdeploy.bounded import MAX_JSON_BYTES, read_bounded
from qdeploy.build_folder import METRICS_FILE, read_metrics
from qdeploy.errors import DataError, UserError
from qdeploy.ir.input_codes import RawType
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.verify.frames import Frames, frames_of_dataset, frames_of_random_codes
from qdeploy.verify.frames_of_files import frames_of_files

if TYPE_CHECKING:
    from torch import nn

    from qdeploy.data.dataset import Dataset
    from qdeploy.ensemble.folder import TrainedEnsemble
    from qdeploy.training.run import Run


# Kinds of sources, as in `build.json`.
RUN, FILE, MEMORY = "run", "file", "memory"


class Source(ABC):
    """A network to build.

    Attributes:
        name: of the network, which names the build.
        network: the quantized network in eval mode, None for a file.
        kind: what it is: RUN, FILE or MEMORY.
        files: what was read of it: name -> hex SHA-256.
        recipe_sha256: digest of what the recipe says, None for a file.
        recipe_text: resolved recipe, None for a file.
        metrics_text: `metrics.jsonl` of a trained run, None where there is none.
        classes: names of the classes, or of the predicted numbers; empty where unknown.
        predicts_numbers: whether the outputs are numbers and not classes.
    """

    name: str
    predicts_numbers: bool = False
    kind: ClassVar[str]
    files: Mapping[str, str] = MappingProxyType({})
    network: nn.Module | None = None
    recipe_sha256: str | None = None
    recipe_text: str | None = None
    metrics_text: str | None = None
    input_bits: int = 8

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the predicted numbers; empty where unknown."""
        return ()

    @abstractmethod
    def describe(self) -> str:
        """One sentence for people."""

    def weight_bits(self) -> int:
        """The least memory of its weights, in bits; 0 where only `write_qonnx` would tell."""
        return 0

    @abstractmethod
    def write_qonnx(self, path: Path) -> None:
        """Write the QONNX file that everything after is derived from."""

    @abstractmethod
    def frames(self, graph: IntegerGraph, count: int, seed: int) -> Frames:
        """Frames to verify the build with: at least `count` where the data set has as many."""


class RunSource(Source):
    """A folder written by `qdeploy train`, or by `qdeploy ensemble`.

    Args:
        data: folder of the data sets, None for their default.
        observer: hears of a data set that is prepared first.
    """

    kind = RUN

    def __init__(self, folder: Path, data: Path | None, observer: Observer = SILENT) -> None:
        from qdeploy.data.scaling import reads_real_values
        from qdeploy.data.targets import gives_real_numbers
        from qdeploy.ensemble.folder import is_ensemble, load_ensemble
        from qdeploy.quant.signed_input import take_middle_at_zero
        from qdeploy.training.run import load_run

        self.run: Run | TrainedEnsemble = (
            load_ensemble(folder, observer)
            if is_ensemble(folder)
            else load_run(folder, observer.note)
        )
        self.data, self.observer = data, observer
        self.name = self.run.name
        scaling, targets, network = self.run.scaling, self.run.targets, self.run.network
        if scaling is not None:
            network = reads_real_values(network, scaling)
            take_middle_at_zero(network)
        self.network = network if targets is None else gives_real_numbers(network, targets)
        self.predicts_numbers = targets is not None
        self.recipe_text = self.run.recipe_text
        self.recipe_sha256 = self.run.recipe_sha256
        self.files = self.run.files
        # Codes of real values are made on the host; integers that the driver takes are the codes.
        self.input_bits = self.run.input_bits if scaling is None else 8
        self.metrics_text = _metrics_text(folder, observer)

    @cached_property
    def _dataset(self) -> Dataset:
        return self.run.dataset(self.data, self.observer)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self._dataset.classes)

    def describe(self) -> str:
        return self.run.sentence

    def write_qonnx(self, path: Path) -> None:
        from qdeploy.lowering.from_torch.export import export_qonnx_file

        assert self.network is not None
        export_qonnx_file(self.network, self._dataset.shape, path)

    def frames(self, graph: IntegerGraph, count: int, seed: int) -> Frames:
        return frames_of_dataset(self._dataset, self.run.input_bits, count, self._dataset.name)


def _metrics_text(folder: Path, observer: Observer) -> str | None:
    """What a run measured after its epochs; nothing of a build depends on it."""
    try:
        if read_metrics(folder) is None:
            return None
        return read_bounded(folder / METRICS_FILE, MAX_JSON_BYTES)
    except (UserError, OSError) as error:
        observer.note(f"note: the report will have no training curves: {error}")
        return None


class NetworkSource(Source):
    """A quantized network in memory and frames for it: for measurements, without a run.

    Args:
        images: (frames, *input shape), uint8.
    """

    kind = MEMORY

    def __init__(
        self, name: str, network: nn.Module, images: npt.NDArray[np.uint8], input_bits: int = 8
    ) -> None:
        self.name, self.network = name, network.eval()
        self.images, self.input_bits = images, input_bits

    def describe(self) -> str:
        return f"network `{self.name}`"

    def write_qonnx(self, path: Path) -> None:
        from qdeploy.lowering.from_torch.export import export_qonnx_file

        assert self.network is not None
        export_qonnx_file(self.network, tuple(self.images.shape[1:]), path)

    def frames(self, graph: IntegerGraph, count: int, seed: int) -> Frames:
        codes = (self.images >> (8 - self.input_bits)).astype(np.int64)
        labels = np.full(len(codes), -1, dtype=np.int64)
        return Frames(codes, self.images, labels, "frames given with the network")


@dataclass(frozen=True)
class FileExtras:
    """What a person tells of a network from a file.

    Args:
        raw: the integers that its input is made of, None where only the file may say.
        output: the one of several outputs that is wanted.
        frames: a file or folder of frames, None for random ones.
        labels: a file of their labels.
        class_names: a file of the names of the classes.
    """

    raw: RawType | None = None
    frames: Path | None = None
    labels: Path | None = None
    class_names: Path | None = None
    output: str | None = None


class FileSource(Source):
    """A QONNX file.

    Args:
        extras: what is told besides.

    Raises:
        UserError: the file is too large, or the names of the classes cannot be read.
    """

    kind = FILE

    def __init__(self, path: Path, extras: FileExtras = FileExtras()) -> None:
        from qdeploy.lowering.canonical.bounds import check_size

        self.path, self.extras = path, extras
        self._classes: tuple[str, ...] = ()
        if extras.class_names is not None:
            from qdeploy.data.given_frames import read_class_names

            self._classes = read_class_names(extras.class_names)
        check_size(path)
        self.files = {path.name: sha256(path)}
        self.name = path.name.removesuffix(".onnx").removesuffix(".qonnx")

    def describe(self) -> str:
        return f"QONNX file `{self.path.name}`"

    def weight_bits(self) -> int:
        from qdeploy.lowering.canonical.cleaning import RemoveUnread
        from qdeploy.lowering.canonical.outputs import keep_output
        from qdeploy.lowering.canonical.reading import read_file
        from qdeploy.lowering.canonical.weight_bits import weight_bits

        model, _ = read_file(self.path)
        if self.extras.output is not None:
            keep_output(model, self.extras.output, self.path.name, str(self.path))
            model = RemoveUnread().call(model).model
        return weight_bits(model)

    def write_qonnx(self, path: Path) -> None:
        from qdeploy.lowering.canonical.import_qonnx import import_qonnx

        import_qonnx(self.path, path, self.extras.raw, self.extras.output)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    def frames(self, graph: IntegerGraph, count: int, seed: int) -> Frames:
        """The given frames, or random ones.

        Raises:
            DataError: frames, labels or names are not those of the network.
        """
        classes, extras = graph.tensors[graph.logits].shape[0], self.extras
        if self._classes and len(self._classes) != classes:
            raise DataError(
                f"there are {len(self._classes):,} names for {classes:,} classes",
                where=str(extras.class_names),
                do="give the name of a class on each line",
            )
        if extras.frames is None:
            if extras.labels is not None:
                raise DataError(
                    "there are labels, and no frames that they are of",
                    where=str(extras.labels),
                    do="give the frames with --frames-from",
                )
            return frames_of_random_codes(graph, count, seed)
        from qdeploy.data.given_frames import read_frames, read_labels

        given = read_frames(extras.frames)
        labels = given.labels if extras.labels is None else read_labels(extras.labels, given)
        return frames_of_files(graph, given, labels, extras.frames.name)


def open_source(
    path: Path,
    data: Path | None,
    observer: Observer = SILENT,
    extras: FileExtras = FileExtras(),
) -> Source:
    """The source at `path`; a run with its data set in the folder `data`.

    Args:
        extras: what is told of a file besides.

    Raises:
        UserError: there is nothing of the kind there, or a file that is too large.
        CheckpointError: the run folder is not complete.
    """
    if path.is_dir():
        if extras != FileExtras():
            raise UserError(
                "--input, --output, --frames-from, --labels and --class-names are for files",
                why=f"the run `{path}` has the data set that its network was trained on",
                do="leave them out",
            )
        return RunSource(path, data, observer)
    if path.suffix == ".onnx" and path.is_file():
        return FileSource(path, extras)
    raise UserError(
        f"`{path}` is neither a run folder nor a QONNX file",
        do="give the folder that `qdeploy train` or `qdeploy ensemble` wrote, or a file ending in "
        ".onnx",
    )
