"""What qdeploy knows of each of FINN's operators, as its backend declares it.

A backend (`qdeploy/dataflow/backends`) is a class with an `Operator`; `declare` enters it into this
table and into FINN's. Everything else asks the table through `nodes.HwNode`: no other file names an
operator, except to make a node of it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from qdeploy.dataflow.finn import env as finn_env
from qdeploy.errors import InternalError

if TYPE_CHECKING:
    from qonnx.transformation.base import Transformation

SUFFIX = "_qd_rtl"
BACKENDS = "qdeploy.dataflow.backends"

Backend = TypeVar("Backend", bound=type)


class Kind(Enum):
    """What passes over the hardware layers tell apart."""

    MATRIX = "matrix-vector unit: PE divides its rows, SIMD its columns"
    WINDOW = "sliding window over a feature map"
    PADDING = "border around a feature map"
    CONVERTER = "data width converter between two layers"
    FIFO = "FIFO between two layers"
    OTHER = "PE divides its channels"


class LayerFrom(Enum):
    """How the layer of a node is found if no parameter is named after it."""

    NAME = "the node is named after its layer"
    PRODUCER = "that of the node that feeds it"
    CONSUMER = "that of the node it feeds"


class Turn(IntEnum):
    """When FINN's pass for an operator runs: each takes what the passes before it left."""

    POOLS = 1
    CHANNEL_PRODUCTS = 2
    PRODUCTS = 3
    THRESHOLDS = 4
    WINDOWS = 5
    ELEMENTS = 6
    # After flattening has gone: the next layer reads the same stream.
    FORKS = 7


@dataclass(frozen=True)
class Inference:
    """FINN's pass that makes an operator's nodes, and its turn."""

    turn: Turn
    transformation: Callable[[], Transformation]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """All that is known about one of FINN's operators, except its Verilog.

    Args:
        name: FINN's.
        suffix: ending of the names of its hardware layers, `<layer>_<suffix>`.
        part: of a design that it is counted as in reports.
        kind: what passes tell apart.
        inference: None where qdeploy or FINN's insertion passes make its nodes.
        layer_from: how a node's layer is found.
        channels: node attribute with the number of channels; None where the last axis of the
            output has it.
        lanes: node attribute with the number of channels per beat.
        weights, thresholds: number of the input that holds them, where a node has that input.
        each_pixel: does the same to every pixel, so that several of them can be seen as one with
            more channels.
        sums: outputs, or compares, sums whose exact interval the integer graph knows.
        one_pixel: leaves one pixel of a feature map.
        bursts: works in bursts, so that a FIFO follows it.
        pauses: stops its input while it puts out more than it takes, so that a FIFO may be before
            it.
        rows_kept: rows of its input that come in before anything goes out.
        copies: gives every code on as it came, to several layers.
    """

    name: str
    suffix: str
    part: str
    kind: Kind = Kind.OTHER
    inference: Inference | None = None
    layer_from: LayerFrom = LayerFrom.CONSUMER
    channels: str | None = None
    lanes: str = "PE"
    weights: int | None = None
    thresholds: int | None = None
    each_pixel: bool = False
    sums: bool = False
    one_pixel: bool = False
    bursts: bool = False
    pauses: bool = False
    rows_kept: int = 0
    copies: bool = False

    @property
    def moves_pixels(self) -> bool:
        """Whether it only moves the pixels of the layer it leads into, and shares its folding."""
        return self.kind in (Kind.WINDOW, Kind.PADDING)

    @property
    def joins_layers(self) -> bool:
        """Whether it connects layers and has no folding of its own."""
        return self.kind in (Kind.CONVERTER, Kind.FIFO)

    @property
    def is_mover(self) -> bool:
        """Whether codes leave it as they came, whatever their order."""
        return self.moves_pixels or self.joins_layers


_backends: dict[str, Any] = {}


def declare(backend: Backend) -> Backend:
    """Class decorator: put a backend into this table, by its `operator`, and into FINN's.

    Raises:
        InternalError: the class is not named after its operator, as FINN needs.
    """
    from finn.custom_op.fpgadataflow.rtl import register_custom_op

    found: Operator = backend.operator  # type: ignore[attr-defined]
    if backend.__name__ != f"{found.name}{SUFFIX}":
        raise InternalError(f"the backend of {found.name} is not called {found.name}{SUFFIX}")
    register_custom_op(backend)
    _backends[found.name] = backend
    return backend


@functools.cache
def register() -> None:
    """Import every backend there is, so that each declares itself."""
    finn_env.prepare()
    package = importlib.import_module(BACKENDS)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{BACKENDS}.{module.name}")


def operator_name(op_type: str) -> str:
    """FINN's operator name without the backend's suffix."""
    return op_type.removesuffix(SUFFIX)


def operators() -> list[Operator]:
    """All declared operators, by name."""
    register()
    return [_backends[name].operator for name in sorted(_backends)]


def operator_of(op_type: str) -> Operator | None:
    """The operator of a node, specialized or not; None where no backend declares it."""
    register()
    backend = _backends.get(operator_name(op_type))
    return None if backend is None else backend.operator


def backend_of(op_type: str) -> Any:
    """The class that declares an operator.

    Raises:
        InternalError: there is none.
    """
    register()
    try:
        return _backends[operator_name(op_type)]
    except KeyError as error:
        raise InternalError(f"no backend declares FINN's operator {op_type}") from error
