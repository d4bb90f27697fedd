"""A file's tensors for a few frames, in one onnxruntime session.

QONNX's operators are calls of ONNX functions (`qonnx_functions.py`). It is what checks a rewriting:
it takes a fraction of a second where qonnx's own executor, the judge of what a file means
(`executor.py`), takes one node after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, ValueInfoProto

from qdeploy.lowering.canonical.executor import foreign_tools
from qdeploy.lowering.canonical.qonnx_functions import with_functions

Array = npt.NDArray[Any]
_ONLY_FATAL = 4  # errors are raised, with their text


def evaluate(model: ModelProto, frames: Array, names: Sequence[str]) -> list[Array]:
    """Some tensors of a model with one input for `frames` (N, ...).

    Args:
        model: with the shapes of its tensors, for N frames.
        names: of the tensors.

    Raises:
        UnsupportedLayerError: onnxruntime cannot run the file.
    """
    items = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    ranks = {item.name: len(item.type.tensor_type.shape.dim) for item in items}
    runnable = with_functions(model, ranks=ranks)
    del runnable.graph.value_info[:]
    del runnable.graph.quantization_annotation[:]
    del runnable.graph.output[:]
    runnable.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    with foreign_tools("the file's tensors for a frame"):
        session = onnxruntime.InferenceSession(runnable.SerializeToString(), options)
        found = session.run(list(names), {session.get_inputs()[0].name: frames})
    return [np.asarray(value) for value in found]
