"""What a pass over a QONNX file is: requires -> call -> ensures.

`requires` refuses what the pass cannot take, `call` rewrites in place, `ensures` checks what it
promised. Numbers are checked too, on a probe frame:

    a pass that is exact          the file's outputs before and after, bit for bit
    a pass with a tolerance       each rewritten node alone, on values of its own

Bit for bit means on constants whose sums are exact: with others an engine that adds in another
order, since a constant is packed or a row has moved, gives other last bits. Where the outputs
differ, they are compared again, bit for bit, with every real constant replaced by a power of two
beside it, in both files. Which of the two is drawn from its value, several times: constants that
differ at all differ in one of the drawings, nearly always.

A whole network would not show a tolerance: one rounding in front of a quantizer may change a code.
Passes run to a fixpoint, with a bound on the rounds.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper

from qdeploy.errors import PassError
from qdeploy.lowering.canonical.edit import Edit
from qdeploy.lowering.canonical.evaluate import Array, evaluate
from qdeploy.lowering.canonical.local_check import Rewritten, check_rewritten

# A round may uncover work for the next; a file of any depth needs two or three.
MAX_ROUNDS = 10
_WHOLE = 256  # numbers up to this one are kept
# A constant's 24 bits times one of these: a bit in the middle draws one of two powers of two.
_MIXERS = tuple(int(math.sqrt(prime) % 1 * 2**38) | 1 for prime in (2, 3, 5, 7))


@dataclass(frozen=True)
class PassResult:
    """The model after a pass, and whether the pass changed anything.

    Args:
        rewritten: nodes with what took their place, to be checked one by one.
        notes: what a user should know, in sentences.
    """

    model: ModelProto
    modified: bool
    rewritten: tuple[Rewritten, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Pass(ABC):
    """One rewriting of a QONNX model.

    Attributes:
        tolerance: 0 where the file's outputs stay bit for bit; else the largest difference of a
            rewritten node's result, relative to its largest value.
    """

    tolerance: float = 0.0

    def requires(self, model: ModelProto) -> None:  # noqa: B027 - most passes take any model
        """Refuse a model the pass cannot take.

        Raises:
            UnsupportedLayerError: the file holds something that cannot become hardware.
        """

    @abstractmethod
    def call(self, model: ModelProto) -> PassResult:
        """Rewrite `model` in place."""

    def ensures(self, model: ModelProto) -> None:  # noqa: B027 - the probe may be check enough
        """Check what the pass promises.

        Raises:
            PassError: the promise is broken.
        """

    def rewrite(self, model: ModelProto) -> PassResult:
        """The pass on `model` itself, unchecked but for its own conditions."""
        self.requires(model)
        result = self.call(model)
        self.ensures(result.model)
        return result

    def __call__(self, model: ModelProto, *, probe: bool = True) -> PassResult:
        """Run the pass on a copy and check it; `probe`: compare numbers before and after."""
        return run_passes(model, (self,), probe=probe, rounds=1)


class _Checked:
    """A model under rewriting, and what of it is still to be checked."""

    def __init__(self, model: ModelProto, probe: bool) -> None:
        self.model, self.probe = copy.deepcopy(model), probe
        self._before = model
        self._exact: list[str] = []

    def run(self, step: Pass) -> PassResult:
        name = type(step).__name__
        if step.tolerance and self.probe:
            self.check()
            before = copy.deepcopy(self.model)
        result = step.rewrite(self.model)
        self.model = result.model
        if result.modified and self.probe and step.tolerance:
            check_rewritten(before, result.rewritten, step.tolerance, name)
            self._before = copy.deepcopy(self.model)
        elif result.modified:
            self._exact.append(name)
        return result

    def check(self) -> None:
        """Compare the outputs with those before the last exact passes."""
        if self._exact and self.probe:
            _same_outputs(self._before, self.model, ", ".join(dict.fromkeys(self._exact)))
            self._before = copy.deepcopy(self.model)
        self._exact = []


def run_passes(
    model: ModelProto, passes: Iterable[Pass], *, probe: bool = True, rounds: int = MAX_ROUNDS
) -> PassResult:
    """Run passes one after the other, again and again, until none of them changes anything.

    Args:
        rounds: most rounds; 1 runs each pass once.

    Raises:
        PassError: some still change something after `rounds` rounds, or a number changed.
    """
    steps, work = tuple(passes), _Checked(model, probe)
    notes: list[str] = []
    busy: list[str] = []
    for count in range(rounds):
        busy = []
        for step in steps:
            result = work.run(step)
            notes += result.notes
            if result.modified:
                busy.append(type(step).__name__)
        if not busy or rounds == 1:
            work.check()
            return PassResult(work.model, count > 0 or bool(busy), notes=tuple(notes))
    raise PassError(
        f"{', '.join(busy)} reached no fixpoint within {rounds} rounds",
        why="one pass undoes what another does, or finds its own result again",
    )


def probe_frame(model: ModelProto) -> Array:
    """One frame of a model's input, of values that spread over the ranges inputs usually have."""
    kind = model.graph.input[0].type.tensor_type
    shape = (1, *(d.dim_value for d in list(kind.shape.dim)[1:]))
    rng = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        low, high = max(limits.min, -128), min(limits.max, 255)
        return rng.integers(low, high + 1, shape).astype(dtype)
    frame = rng.integers(-256, 256, shape) / 256
    wide = rng.random(shape) < 1 / 8
    return np.where(wide, frame * 256, frame).astype(dtype)


def _same_outputs(before: ModelProto, after: ModelProto, names: str) -> None:
    if not _difference(before, after):
        return
    for drawing in range(len(_MIXERS)):
        difference = _difference(*(in_powers_of_two(one, drawing) for one in (before, after)))
        if difference:
            raise PassError(
                f"{names} changed the outputs by {difference:.3g}",
                why="a file in canonical form computes what the file itself does, bit for bit",
            )


def _difference(before: ModelProto, after: ModelProto) -> float:
    """The largest difference of an output on the probe frame."""
    frame = probe_frame(before)
    wanted = [item.name for item in after.graph.output]
    expected, found = evaluate(before, frame, wanted), evaluate(after, frame, wanted)
    largest = 0.0
    for a, b in zip(expected, found, strict=True):
        if not np.isfinite(a).all():
            continue  # A scale or a weight is not finite: the lowering says which.
        if not np.array_equal(a.reshape(-1), b.reshape(-1)):
            difference = np.abs(a.reshape(-1).astype(np.float64) - b.reshape(-1)).max()
            largest = max(largest, float(difference), float(np.finfo(np.float32).tiny))
    return largest


def in_powers_of_two(model: ModelProto, drawing: int = 0) -> ModelProto:
    """A copy with every real constant but small whole numbers replaced by a power of two beside it,
    element by element and by value alone: one that a pass has moved or turned becomes the same.
    """
    rounded = copy.deepcopy(model)
    for tensor in rounded.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            tensor.CopyFrom(numpy_helper.from_array(_power_of_two(array, drawing), tensor.name))
    for node in rounded.graph.node:
        for item in node.attribute:
            if item.type == AttributeProto.FLOAT:
                item.f = float(_power_of_two(np.array(item.f, dtype=np.float32), drawing))
    return rounded


def _power_of_two(array: Array, drawing: int) -> Array:
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    mantissa, exponent = np.frexp(np.where(np.isfinite(values), values, 0))
    fraction = np.ldexp(np.abs(mantissa), 24).astype(np.uint64)
    mixed = (fraction * np.uint64(_MIXERS[drawing])) >> np.uint64(33)
    # A power of two, whose mantissa is a half, stays one.
    up = (mixed & np.uint64(1) == 1) & (fraction != 1 << 23)
    # Sums of small whole numbers are exact, and a width or an annotated weight has to stay one.
    kept = ~np.isfinite(values) | ((values == np.rint(values)) & (np.abs(values) <= _WHOLE))
    whole = np.ldexp(np.sign(mantissa), exponent - ~up)
    return np.where(kept, array, whole).astype(array.dtype)


def initializers(model: ModelProto) -> dict[str, np.ndarray]:
    """The constants of the file by name."""
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def shape_of(model: ModelProto, name: str) -> tuple[int, ...]:
    """The shape of a tensor with its batch axis, () where it is unknown."""
    items = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    for item in items:
        if item.name == name:
            return tuple(d.dim_value for d in item.type.tensor_type.shape.dim)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return tuple(tensor.dims)
    return ()


def add_initializer(model: ModelProto, name: str, array: np.ndarray) -> str:
    """Add a constant and return its name."""
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def replace_node(model: ModelProto, old: NodeProto, new: Iterable[NodeProto]) -> None:
    """Put nodes in the place of one node."""
    edit = Edit(model)
    edit.replace(next(node for node in edit.nodes if node is old or node == old), new)
    edit.apply()
