"""An ONNX file from anywhere as a model in memory: bytes, external data, bounds, dialect.

Nothing here computes a tensor. What a file declares is bounded first (`bounds.py`), then the
dialect it is written in becomes the one that the passes know (`dialect.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, external_data_helper

from qdeploy.bounded import is_named_file
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import (
    MAX_FILE_BYTES,
    check_bounds,
    check_size,
    tensors_of,
)
from qdeploy.lowering.canonical.dialect import normalize


def read_file(path: Path) -> tuple[ModelProto, list[str]]:
    """Read a file; returns the model for a batch of one frame, and notes for the user.

    Raises:
        UnsupportedLayerError: the file holds no network, or more than is read.
    """
    try:
        check_size(path)
        model = onnx.load(path, load_external_data=False)
        _load_external(model, path)
        check_bounds(model, path.name, str(path))
        notes = normalize(model, path.name, str(path))
        onnx.checker.check_model(model)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise UnsupportedLayerError(
            f"{path.name} cannot be read as an ONNX file",
            where=str(path),
            why=next(iter(str(error).splitlines()), type(error).__name__),
            do="export the network again",
        ) from error
    return model, notes


def _load_external(model: ModelProto, path: Path) -> None:
    """Read the constants that lie in files beside the model's.

    Raises:
        UnsupportedLayerError: a file is missing, too short or elsewhere.
    """
    total = 0
    for tensor in _external(model):
        entries = {item.key: item.value for item in tensor.external_data}
        location = entries.get("location", "")
        folder, file = path.parent.resolve(), path.parent / location
        if not is_named_file(file) or not file.resolve().is_relative_to(folder):
            raise _no_data(path, tensor, f"`{location}` is no file in the model's folder")
        size = file.stat().st_size
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", size - offset))
        except ValueError:
            raise _no_data(path, tensor, "offset or length is no number") from None
        end = offset + length
        if offset < 0 or length < 0 or end > size:
            raise _no_data(path, tensor, f"`{location}` has {size:,} bytes, not {end:,}")
        total += length
        if total > MAX_FILE_BYTES:
            raise _no_data(path, tensor, f"more than {MAX_FILE_BYTES:,} bytes of constants")
        external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external(model: ModelProto) -> Iterator[TensorProto]:
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            yield tensor


def _no_data(path: Path, tensor: TensorProto, why: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"the constant `{tensor.name}` of {path.name} cannot be read",
        where=str(path),
        why=why,
        do="put the file of external data beside the model, under the name it had at the export",
    )
