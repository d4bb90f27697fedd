"""Layers as files: the wrapper with its modules, and the memories, each rendered once.

A build stitches one folded network several times, with FIFOs of other depths. Wrappers and memories
of everything but the FIFOs stay the same, and rendering weights takes most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow.finn.nodes import HwNode, Kind
from qdeploy.dataflow.rtl.unit import Unit

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


@dataclass(frozen=True)
class Rendered:
    """A layer's unit and its files, name to text."""

    unit: Unit
    files: Mapping[str, str]


@dataclass(frozen=True)
class Renderer:
    """Renders the layers of one folded network, however often it is stitched.

    Layers are identified by the names of their nodes: a network folded again needs a new renderer.
    """

    _kept: dict[str, Rendered] = field(default_factory=dict)

    def render(self, model: ModelWrapper, node: NodeProto, instance: Any) -> Rendered:
        """The files of a node; those of a FIFO are rendered each time, since its depth changes.

        Args:
            instance: FINN's operator of the node.
        """
        if HwNode.of(model, node).kind is Kind.FIFO:
            return _rendered(model, node, instance)
        if node.name not in self._kept:
            self._kept[node.name] = _rendered(model, node, instance)
        return self._kept[node.name]


def _rendered(model: ModelWrapper, node: NodeProto, instance: Any) -> Rendered:
    unit: Unit = instance.unit(model)
    files = {f"{node.name}.v": unit.verilog(node.name)}
    files |= {name: "\n".join(lines) + "\n" for name, lines in unit.memories().items()}
    return Rendered(unit, files)
