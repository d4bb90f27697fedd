"""The official qonnx executor: slow, and the judge of what a QONNX file means."""

from __future__ import annotations

import contextlib
import copy
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from qdeploy.errors import UnsupportedLayerError

FloatArray = npt.NDArray[Any]
_PROJECT = __name__.partition(".")[0]


def with_batch(model: ModelProto, frames: int) -> ModelProto:
    """A copy of the model for a batch of `frames`, all shapes inferred again."""
    model = copy.deepcopy(model)
    for item in (*model.graph.input, *model.graph.output):
        if item.name not in {i.name for i in model.graph.initializer}:
            item.type.tensor_type.shape.dim[0].ClearField("dim_param")
            item.type.tensor_type.shape.dim[0].dim_value = frames
    del model.graph.value_info[:]
    return infer_shapes(model)


@contextlib.contextmanager
def foreign_tools(what: str) -> Iterator[None]:
    """Around what ONNX's and QONNX's own packages do with a file: the one place for their failures.

    They raise whatever comes up (qonnx a bare `Exception`, onnxruntime classes of its own), and any
    of it means that the file is not one they can run. What was raised in code of this project is
    a fault of ours and goes on as it is.

    Args:
        what: is computed, for the message.

    Raises:
        UnsupportedLayerError: they failed; says how.
    """
    try:
        yield
    except Exception as error:  # no narrower class has what qonnx raises
        if _raised_here(error):
            raise
        raise UnsupportedLayerError(
            f"{what} cannot be computed",
            why=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            do="export the network again, in evaluation mode, for fixed sizes after the batch axis",
        ) from error


def _raised_here(error: Exception) -> bool:
    """Whether the frame that raised an error is of this project."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PROJECT


def infer_shapes(model: ModelProto) -> ModelProto:
    """The model with the shape of every tensor, Quant nodes included."""
    with foreign_tools("the shapes of the file's tensors"):
        return ModelWrapper(model).transform(InferShapes()).model


class Executor:
    """A model for passes of frames, set up once for each number of them; for any thread."""

    def __init__(self, model: ModelProto) -> None:
        self._model, self._lock = model, threading.Lock()
        self._by_frames: dict[int, ModelWrapper] = {}

    def __call__(self, frames: FloatArray) -> dict[str, FloatArray]:
        """Every tensor of the file for float `frames` (N, ...)."""
        with self._lock:
            wrapper = self._by_frames.get(len(frames))
            if wrapper is None:
                wrapper = ModelWrapper(with_batch(self._model, len(frames)))
                self._by_frames[len(frames)] = wrapper
        name = wrapper.graph.input[0].name
        with foreign_tools("the file's output for a frame"):
            return dict(execute_onnx(wrapper, {name: frames.astype(np.float32)}, True))


def execute(model: ModelProto, frames: FloatArray) -> dict[str, FloatArray]:
    """Every tensor of the file for float `frames` (N, ...)."""
    return Executor(model)(frames)


def probe_frame(model: ModelProto) -> FloatArray:
    """One frame of values in [0, 1) that any input quantizer of 8 bits or fewer holds."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    shape = (1, *(d.dim_value for d in list(dims)[1:]))
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, shape) / 256).astype(np.float32)
