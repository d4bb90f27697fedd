"""A torch Dataset as a data set: its samples are read into memory, once.

A sample is a pair of an input and a label. Inputs are PIL images, or tensors or arrays: (C, H, W),
(C, L) for series of real numbers, (H, W) for grey images in bytes, or (F,). Bytes stay as they are;
real values become codes by ranges, as those of `arrays` do.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import DataLoader

from qdeploy.data.dataset import Dataset
from qdeploy.data.own.frames import as_frames
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of
from qdeploy.errors import DataError, QDeployError
from qdeploy.observer import SILENT, Observer
from qdeploy.plugins import blamed
from qdeploy.recipe.own_data import OwnData

MAX_BYTES = 1 << 32
_NAMES = {"train": TRAIN, "test": TEST, "val": VALIDATION, "validation": VALIDATION}
_HOW = (
    "give a torch Dataset of pairs (input, label), a pair of them for training and test, or a "
    "mapping with `train`, `test` and `val`"
)
Array = npt.NDArray[Any]


def from_torch(
    given: object, settings: OwnData, owner: str, observer: Observer = SILENT
) -> Dataset:
    """The data set that an object of the user's is.

    Args:
        given: a torch Dataset (or anything with samples by index, or that iterates over them), a
            pair of them (training, test), a mapping with `train` and, if there are any, `test` and
            `val`; a `DataLoader` stands for its data set, and a qdeploy `Dataset` for itself.
        settings: the recipe's section: names of classes, how a test set is drawn, ranges.
        owner: what the object is called, for messages.
        observer: gets progress, and notes about test frames that are trained with and samples that
            differ each time they are read.

    Raises:
        DataError: a sample is no pair, inputs differ in shape, are no numbers or not finite, labels
            are no classes, or it is too much for the memory; as `dataset_of`.
        PluginError: the object raises.
    """
    if isinstance(given, Dataset):
        return given
    with random_state(settings.split_seed):
        numbers = settings.learned_task == "regression"
        read = {
            key: _read(one, owner, numbers, observer) for key, one in _parts(given, owner).items()
        }
    classes = next((names for _, _, names in read.values() if names is not None), None)
    written = [labels for _, labels, _ in read.values()]
    unnamed = settings.learned_task == "classification" and settings.class_names is None
    if unnamed and classes and _are_indices(written, len(classes)):
        settings = settings.model_copy(update={"class_names": classes})
    labels, names = labelled(written, settings, owner)
    parts = {}
    for (key, (frames, _, _)), own in zip(read.items(), labels, strict=True):
        parts[key] = Part(frames, own)
    return dataset_of(parts, names, settings, owner, observer)


def _parts(given: object, owner: str) -> dict[str, object]:
    if isinstance(given, Mapping):
        stray = [key for key in given if key not in _NAMES]
        if stray or "train" not in given:
            raise _wrong(f"its keys are {', '.join(map(str, given)) or 'none'}", owner)
        return {_NAMES[key]: part for key, part in given.items()}
    if isinstance(given, tuple):
        if not 1 <= len(given) <= 2:
            raise _wrong(f"it is a tuple of {len(given)}", owner)
        return dict(zip((TRAIN, TEST), given, strict=False))
    return {TRAIN: given}


def _read(
    given: object, owner: str, numbers: bool, observer: Observer
) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.float32], Array, tuple[str, ...] | None]:
    """Frames (N, C, H, W), labels as text (N,) or as `numbers` (N, targets), and the names of the
    classes if it has any."""
    if isinstance(given, DataLoader):
        given = given.dataset
    inputs: list[Array] = []
    labels: list[Any] = []
    total = len(given) if hasattr(given, "__len__") else None
    with blamed(owner), observer.meter("reading samples", total, "samples") as bar:
        for sample in _samples(given, owner):
            where = f"sample {len(inputs):,}"
            frame, label = _pair(sample, where, owner)
            _check(frame, inputs, total, where, owner)
            inputs.append(frame)
            labels.append((_numbers if numbers else _label)(label, where, owner))
            bar.advance(1)
    if not inputs:
        raise _wrong("it has no samples", owner)
    if total is not None and hasattr(given, "__getitem__"):
        _note_random(given, inputs[0], owner, observer)
    try:
        frames = as_frames(np.stack(inputs), "its input")
    except ValueError as error:
        raise _wrong(str(error), owner) from error
    if not numbers:
        return frames, np.array(labels, dtype=np.str_), _classes(given)
    if len({one.shape for one in labels}) > 1:
        raise _wrong("samples have different numbers of targets", owner)
    return frames, np.stack(labels), None


def _samples(given: Any, owner: str) -> Iterator[object]:
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        return (given[index] for index in range(len(given)))
    if isinstance(given, Iterable):
        return iter(given)
    raise _wrong(f"it is a {type(given).__name__}, which has no samples", owner)


def _pair(sample: object, where: str, owner: str) -> tuple[Array, object]:
    if isinstance(sample, Mapping) and len(sample) == 2:
        sample = tuple(sample.values())
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        size = f" of {len(sample)}" if isinstance(sample, tuple | list | Mapping) else ""
        raise _wrong(f"{where} is a {type(sample).__name__}{size}, no pair", owner)
    return _array(sample[0], where, owner), sample[1]


def _array(given: object, where: str, owner: str) -> Array:
    if isinstance(given, Image.Image):
        grey = given.mode in ("1", "L", "LA")
        pixels = np.asarray(given.convert("L" if grey else "RGB"), dtype=np.uint8)
        return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    array = np.asarray(given)
    if array.dtype.kind not in "iuf" or not 1 <= array.ndim <= 3:
        raise _wrong(f"the input of {where} is {array.dtype} of shape {array.shape}", owner)
    if array.ndim == 3 and array.shape[2] in (1, 3) and array.shape[0] > 4:
        raise _wrong(
            f"the input of {where} is of shape {array.shape}: channels come first, (C, H, W)", owner
        )
    return array


def _check(frame: Array, before: list[Array], total: int | None, where: str, owner: str) -> None:
    if before and (frame.shape, frame.dtype) != (before[0].shape, before[0].dtype):
        raise _wrong(
            f"the input of {where} is {frame.dtype} of shape {frame.shape}, that of the first "
            f"{before[0].dtype} of {before[0].shape}",
            owner,
        )
    if frame.nbytes * max(total or 0, len(before) + 1) > MAX_BYTES:
        raise _wrong(f"more than {MAX_BYTES >> 30} GiB are not held in memory", owner)


def _label(given: object, where: str, owner: str) -> str:
    if isinstance(given, torch.Tensor | np.ndarray | np.generic):
        array = np.asarray(given.cpu() if isinstance(given, torch.Tensor) else given)
        given = array.item() if array.size == 1 else array
    if isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return str(given)
    if isinstance(given, bool):
        return str(int(given))
    raise _wrong(
        f"the label of {where} is a {type(given).__name__}, not an integer or a name; numbers to "
        "predict are `data.task: regression`",
        owner,
    )


def _numbers(given: object, where: str, owner: str) -> npt.NDArray[np.float64]:
    """The targets of a sample, (targets,)."""
    array = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
        raise _wrong(f"the targets of {where} are {array.dtype} of shape {array.shape}", owner)
    return array.astype(np.float64).reshape(-1)


def _classes(given: object) -> tuple[str, ...] | None:
    """The names that torchvision's data sets have, also below a `Subset`."""
    while not hasattr(given, "classes") and hasattr(given, "dataset"):
        given = given.dataset
    found = getattr(given, "classes", None)
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        return None
    return tuple(found) or None


def _are_indices(labels: list[Array], classes: int) -> bool:
    known = {str(index) for index in range(classes)}
    return all(known.issuperset(written.tolist()) for written in labels)


def _note_random(given: Any, first: Array, owner: str, observer: Observer) -> None:
    with blamed(owner):
        again = _pair(given[0], "sample 0", owner)[0]
    if not np.array_equal(first, again):
        observer.note(
            f"note: the samples of {owner} differ each time they are read, and they are read once: "
            "leave random augmentation to data.augment"
        )


@contextlib.contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Random numbers that the object may draw are the same each time, and no others are touched."""
    numpy_before, python_before = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_before)
            random.setstate(python_before)


def _wrong(why: str, owner: str) -> QDeployError:
    return DataError(f"`{owner}` is no data set", where=owner, why=why, do=_HOW)
