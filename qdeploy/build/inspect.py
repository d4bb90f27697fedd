"""What came in and what it becomes: a file, a run or a build, looked at without building anything.

came in          the input, its preparation, the operators of the file in canonical form
becomes          the integer graph; for each of its tensors the operators that went into it
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.build.input_note import input_note
from qdeploy.build.source import FILE, FileExtras, open_source
from qdeploy.build_folder import GRAPH_FILE, QONNX_FILE
from qdeploy.ir.input_codes import RawType
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.observer import SILENT, Observer

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# Operators that compute in hardware of their own; the others are part of what follows them.
_HARDWARE = frozenset(
    (
        *("Conv", "MatMul", "MaxPool", "GlobalAveragePool", "AveragePool", "ReduceMean", "Flatten"),
        *("ConvTranspose", "Concat", "Resize", "Upsample", "DepthToSpace"),
    )
)


@dataclass(frozen=True)
class Inspection:
    """A network as it came in, and what it becomes.

    Args:
        source: one sentence: what was looked at.
        operators: how many nodes of each operator the file has in canonical form.
        graph: the integers.
        absorbed: for each tensor of the graph, the operators of the file that it stands for beyond
            the sums or codes it is made from: those of thresholds, of the input, of the logits.
        notes: what a user should know.
    """

    source: str
    operators: Mapping[str, int]
    graph: IntegerGraph
    absorbed: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def inspect(
    path: Path,
    *,
    raw: RawType | None = None,
    output: str | None = None,
    argmax: bool = False,
    data: Path | None = None,
    observer: Observer = SILENT,
) -> Inspection:
    """Look at a file, a run folder or a build folder; nothing is written.

    Args:
        raw: the integers that a file's input is made of, where the file does not say.
        output: the one of a file's several outputs that is looked at.
        argmax: end in the class.
        data: folder of the data sets.

    Raises:
        UserError: there is nothing of the kind, or a layer cannot become hardware.
    """
    from qdeploy.lowering.canonical.import_qonnx import canonical
    from qdeploy.lowering.integers.lower import lower_model

    if (path / GRAPH_FILE).is_file() and (path / QONNX_FILE).is_file():
        model = canonical(path / QONNX_FILE, probe=False)
        described, file = f"build `{path.name}`", False
    else:
        extras = FileExtras(raw=raw, output=output)
        source = open_source(path, data, observer, extras)
        described, file = source.describe(), source.kind == FILE
        with tempfile.TemporaryDirectory(prefix="qdeploy-") as folder:
            written = Path(folder) / QONNX_FILE
            source.write_qonnx(written)
            model = canonical(written, probe=False)
    lowered = lower_model(model, argmax=argmax, name=path.name.split(".")[0])
    graph = lowered.graph
    own = (input_note(graph),) if file else ()
    return Inspection(
        described,
        dict(Counter(node.op_type for node in model.graph.node)),
        graph,
        {name: _absorbed(model, lowered.sources, name) for name in lowered.sources},
        (*own, *lowered.notes),
    )


def _absorbed(model: ModelProto, sources: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Operators between the last hardware, or the last tensor with a name, and a tensor."""
    producers = {output: node for node in model.graph.node for output in node.output}
    constant = {tensor.name for tensor in model.graph.initializer}
    ends = {tensor for key, tensor in sources.items() if key != name}
    found: list[str] = []
    current: str | None = sources[name]
    while current is not None and current in producers:
        node = producers[current]
        if node.op_type in _HARDWARE or _joins(node, producers, constant):
            break
        found.append(node.op_type)
        current = next((item for item in node.input if item not in constant), None)
        if current in ends:
            break
    return tuple(reversed(found))


def _joins(node: NodeProto, producers: Mapping[str, NodeProto], constant: set[str]) -> bool:
    """Whether a node has more than one input that is computed."""
    return sum(item in producers and item not in constant for item in node.input) > 1
