"""What all RTL backends share: FINN's RTLBackend contract on top of a `Unit`."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend

from qdeploy.dataflow.finn.nodes import LOADABLE
from qdeploy.dataflow.finn.operators import Operator
from qdeploy.dataflow.rtl.unit import Unit
from qdeploy.design.library_text import library_text
from qdeploy.design.manifest import PIXELS
from qdeploy.errors import InternalError
from qdeploy.resources import resource

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto
    from qonnx.core.datatype import BaseDataType
    from qonnx.core.modelwrapper import ModelWrapper


class QdBackend(RTLBackend):
    """A FINN hardware layer built from blocks of `hw/rtl`.

    A subclass names FINN's operator as its second base, says in `operator` all there is to know of
    it, gives `unit()`, and is decorated with `operators.declare`. It has no Python execution of its
    own: the dataflow level of verification runs FINN's operator itself, by `execute_plain`.
    """

    operator: ClassVar[Operator]
    _kept: dict[str, Any] | None = None

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: its attributes, and how many pixels per beat its input has."""
        return {
            **super().get_nodeattr_types(),
            PIXELS: ("i", False, 1),
            LOADABLE: ("i", False, 0, {0, 1}),
        }

    def keep_attributes(self) -> None:
        """Remember attributes from now on: reading one is slow, and a folding reads millions.

        Only while nobody changes the node but through this instance.
        """
        self._kept = {}

    def get_nodeattr(self, name: str) -> Any:
        """FINN's hook: a node attribute or its default."""
        if self._kept is None:
            return super().get_nodeattr(name)
        if name not in self._kept:
            self._kept[name] = super().get_nodeattr(name)
        return self._kept[name]

    def set_nodeattr(self, name: str, value: Any) -> None:
        """FINN's hook: set a node attribute."""
        super().set_nodeattr(name, value)
        if self._kept is not None:
            self._kept.pop(name, None)

    def loadable(self) -> bool:
        """Whether the configuration stream writes its memories."""
        return bool(self.attribute(LOADABLE))

    @abstractmethod
    def unit(self, model: ModelWrapper) -> Unit:
        """The blocks and memories of this layer at its present folding."""

    @classmethod
    def execute_plain(cls, plain: Any, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """Run FINN's own operator in Python, where it needs help to be exact.

        Args:
            plain: FINN's instance, not one of this class.
            context: tensor -> float64 values; the results are written into it.
        """
        plain.execute_node(context, graph)

    def set_sum_type(self, model: ModelWrapper, name: str) -> None:
        """Give it the exact type of its sums, in place; `operator.sums` says whether it has any.

        Args:
            name: FINN's name of the type.
        """
        raise InternalError(f"`{self.onnx_node.name}` has no sums")

    def widen(self, model: ModelWrapper, many: int) -> None:
        """See `many` neighbouring pixels of a row as one with that many times the channels, in
        place; `operator.each_pixel` says whether it can."""
        raise InternalError(f"`{self.onnx_node.name}` does not handle each pixel by itself")

    def _widen_vectors(self, many: int) -> None:
        """`widen` for what has NumChannels channels at each of (1, rows, columns) pixels."""
        batch, rows, columns = (int(size) for size in self.attribute("numInputVectors"))
        self.set_nodeattr("numInputVectors", [batch, rows, columns // many])
        self.set_nodeattr("NumChannels", int(self.attribute("NumChannels")) * many)

    def lane_choices(self) -> list[int]:
        """Legal numbers of channels per beat; empty for every divisor of the channels."""
        return []

    def styles(self) -> list[dict[str, int | str]]:
        """Node attributes a folding may choose from at the present PE and SIMD, one choice each."""
        return [{}]

    def generate_hdl(self, model: ModelWrapper, fpgapart: str, clk: float) -> None:
        """FINN's hook: write the wrapper, its memories and the library files into FINN's folder."""
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        top = self.get_verilog_top_module_name()
        unit = self.unit(model)
        (folder / f"{top}.v").write_text(unit.verilog(top), encoding="utf-8")
        for name, lines in unit.memories().items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name in unit.files:
            text = resource(f"hw/rtl/{name}").read_text(encoding="utf-8")
            text = library_text(text, loadable=bool(unit.loads))
            (folder / name).write_text(text, encoding="utf-8")
        self.set_nodeattr("gen_top_module", top)
        self.set_nodeattr("ipgen_path", str(folder))
        self.set_nodeattr("ip_path", str(folder))

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        """FINN's hook: the Verilog files `generate_hdl` wrote."""
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        files = sorted(folder.glob("*.v"))
        return [str(file) if abspath else file.name for file in files]

    def code_generation_ipi(self) -> list[str]:
        """FINN's hook: Tcl that adds the files and instantiates the module in a block design."""
        name, top = self.onnx_node.name, self.get_nodeattr("gen_top_module")
        return [
            *(f"add_files -norecurse {file}" for file in self.get_rtl_file_list(abspath=True)),
            f"create_bd_cell -type module -reference {top} {name}",
        ]

    def attribute(self, name: str) -> Any:
        """A node attribute, as FINN stores it."""
        return self.get_nodeattr(name)


def bits_of(dtype: BaseDataType) -> int:
    """Width of a FINN data type."""
    return int(dtype.bitwidth())


def pair(values: Any) -> tuple[int, int]:
    """A two-element attribute as plain integers (vertical, horizontal)."""
    first, second = (int(value) for value in values)
    return first, second
