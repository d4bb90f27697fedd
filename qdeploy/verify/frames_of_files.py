"""Frames that a person gives with a network from a file, as frames of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qdeploy.errors import DataError
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.raw_type import EXAMPLE
from qdeploy.verify.frames import Frames, narrowed

if TYPE_CHECKING:
    from qdeploy.data.given_frames import GivenFrames


def frames_of_files(
    graph: IntegerGraph, given: GivenFrames, labels: npt.NDArray[np.int64] | None, name: str
) -> Frames:
    """Frames of a network from a file.

    Real numbers are the file's own input. Integers are raw ones, which the network has to know.

    Args:
        labels: (N,), None where unknown; with labels all frames count for the accuracy.
        name: of what they were read from.

    Raises:
        DataError: their shape, type or range, or a label, is not the network's.
    """
    prepared = graph.prepared
    values = _shaped(given, prepared, name)
    if values.dtype.kind == "f":
        codes = prepared.codes(values)
        raw = prepared.restore(codes) if prepared.raw is None else _raw_of(values, prepared, name)
    else:
        raw = values.astype(np.int64)
        low, high = prepared.integer_range
        if prepared.raw is None:
            raise _wrong(
                name,
                f"they are integers ({given.values.dtype}), and the network's file does not say "
                "what an integer means",
                f"say it with `--input {EXAMPLE}` or the like, or give real numbers",
            )
        if int(raw.min()) < low or int(raw.max()) > high:
            raise _wrong(
                name,
                f"they go from {raw.min()} to {raw.max()}, the network's raw values from {low} to "
                f"{high}",
                "give frames of the type that the network takes",
            )
        codes = prepared.codes_of_integers(raw).astype(np.int64)
    classes = graph.tensors[graph.logits].shape[0]
    if labels is not None and int(labels.max()) >= classes:
        raise _wrong(
            name,
            f"the label {labels.max()}, and the network has {classes} classes",
            "number the classes from 0 on",
        )
    known = np.full(len(codes), -1, dtype=np.int64) if labels is None else labels
    tested = 0 if labels is None else len(codes)
    return Frames(codes, narrowed(raw), known, f"frames of `{name}`", tested)


def _shaped(given: GivenFrames, prepared: InputPreparation, name: str) -> npt.NDArray[np.generic]:
    """The values in the shape of the network's file."""
    values, shape = given.values, prepared.shape
    if given.pictures and values.ndim == 4 and len(shape) == 3 and values.shape[1:] != shape:
        values = np.moveaxis(values, 3, 1)
    own = values.shape[1:]
    # Axes of one element may be left out, and a grey picture may be a vector.
    same = tuple(size for size in own if size > 1) == tuple(size for size in shape if size > 1)
    flat = given.pictures and values.ndim == 3 and len(shape) == 1 and np.prod(own) == shape[0]
    if own != shape and not same and not flat:
        raise _wrong(
            name,
            f"their shape is {given.values.shape[1:]}, that of the network's input {shape}",
            "give frames of the network's shape",
        )
    return values.reshape(len(values), *shape)


def _raw_of(
    values: npt.NDArray[np.generic], prepared: InputPreparation, name: str
) -> npt.NDArray[np.int64]:
    """The raw integers whose x is nearest; they have to have the frames' codes."""
    raw = prepared.raw
    assert raw is not None
    x = values.astype(np.float64)
    places = np.rint(x / float(raw.scale)) + raw.zero
    nearest = np.clip(places, raw.lo, raw.hi).astype(np.int64)
    if not np.array_equal(prepared.codes_of_integers(nearest), prepared.codes(values)):
        raise _wrong(
            name,
            f"they are real numbers that no raw {raw.name} values give",
            f"give raw integers, or x = {raw.meaning}",
        )
    return nearest


def _wrong(name: str, why: str, do: str) -> DataError:
    return DataError(f"the frames of `{name}` are not frames of this network", why=why, do=do)
