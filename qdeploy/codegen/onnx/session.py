"""The integer graph in onnxruntime: one session, integers in, integers out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import IntArray

OptimizationLevel: TypeAlias = Literal["disable", "basic", "extended", "all"]
OPTIMIZATION_LEVELS: dict[OptimizationLevel, ort.GraphOptimizationLevel] = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
# What onnxruntime says of a file that is missing, cut short or no network of its operators.
_UNREADABLE = (
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NoSuchFile,
    refusals.NotImplemented,
    refusals.RuntimeException,
)
# Frames of a pass: their maps stay in a processor's cache.
AT_ONCE = 16
INPUT_TYPES: dict[str, type[np.integer]] = {
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
}


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"the integer network `{path.name}` cannot be read",
        where=str(path),
        why=str(error),
        do="run `qdeploy export` again",
    )


class IntSimulator:
    """A session on a file of `emit_onnx`.

    Args:
        path: the file.
        level: onnxruntime's graph optimization level; the bits do not depend on it.
        threads: threads inside an operator; single frames of small networks are fastest with 1.

    Raises:
        UserError: onnxruntime cannot read the file, or it takes no codes.
    """

    def __init__(self, path: Path, *, level: OptimizationLevel = "all", threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = OPTIMIZATION_LEVELS[level]
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            item = self._session.get_inputs()[0]
            self._input, self._type = item.name, np.dtype(INPUT_TYPES[item.type])
        except (*_UNREADABLE, LookupError) as error:
            raise _unreadable(path, error) from error
        self._path = path
        self.input_shape = tuple(item.shape[1:])
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, codes: npt.NDArray[np.integer]) -> dict[str, IntArray]:
        """Every output (N, *shape) for input codes (N, *shape); integer codes of any width.

        Raises:
            UserError: the codes have another shape, or do not fit the input's type; the file's
                operators do not go together.
        """
        if codes.dtype != self._type or codes.shape[1:] != self.input_shape:
            codes = self._checked(codes)
        if len(codes) <= AT_ONCE:
            return self._pass(codes)
        whole: dict[str, IntArray] = {}
        for first in range(0, len(codes), AT_ONCE):
            for name, part in self._pass(codes[first : first + AT_ONCE]).items():
                if len(part) != len(codes[first : first + AT_ONCE]):
                    raise _unreadable(self._path, ValueError(f"`{name}` is not one of each frame"))
                if name not in whole:
                    whole[name] = np.empty((len(codes), *part.shape[1:]), part.dtype)
                whole[name][first : first + len(part)] = part
        return whole

    def _pass(self, codes: npt.NDArray[np.integer]) -> dict[str, IntArray]:
        try:
            found = self._session.run(None, {self._input: codes})
        except _UNREADABLE as error:
            raise _unreadable(self._path, error) from error
        return dict(zip(self.outputs, found, strict=True))

    def _checked(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        limits = np.iinfo(self._type)
        if codes.shape[1:] != self.input_shape or not np.issubdtype(codes.dtype, np.integer):
            raise UserError(
                f"the simulator got {codes.dtype} of shape {codes.shape}",
                do=f"give integer codes of shape (frames, {', '.join(map(str, self.input_shape))})",
            )
        if codes.size and (codes.min() < limits.min or codes.max() > limits.max):
            raise UserError(
                f"input codes from {codes.min()} to {codes.max()} do not fit {self._type}"
            )
        return codes.astype(self._type)
