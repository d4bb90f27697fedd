"""Hidden layers of fully connected networks in C (`kernels/stage.c`): a call for each, but for its
products, and one for the weights of all.

Structures hold addresses: who fills them keeps the tensors, and every call is checked against the
place where parameters lie now by who makes it (`training.chain`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch

from qdeploy.quant import native

POINTER, SIZE, REAL, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double
RELU, STEPS, THRESHOLDS = 0, 1, 2


class Steps(ctypes.Structure):
    """A quantizer of values that lie in rows, each with its own step or all with one."""

    _fields_ = (
        *(("rows", SIZE), ("size", SIZE), ("x", POINTER), ("y", POINTER), ("values", POINTER)),
        *(("smallest", REAL), ("levels", REAL), ("lo", REAL), ("hi", REAL), ("rule", SIZE)),
        *(("g", POINTER), ("parts", POINTER), ("slope", POINTER), ("divisor", REAL)),
    )


class Thresholds(ctypes.Structure):
    """Learned thresholds."""

    _fields_ = (
        *(("count", SIZE), ("value", POINTER), ("smallest", REAL), ("levels", REAL)),
        *((name, POINTER) for name in ("start", "lengths", "least")),
        *((name, POINTER) for name in ("edges", "ends", "exact", "slopes")),
        *((name, POINTER) for name in ("parts", "sums", "inside")),
        *(("share", DOUBLE), ("of_value", POINTER), ("of_start", POINTER), ("of_lengths", POINTER)),
    )


class Stage(ctypes.Structure):
    """A batch norm of values (rows, units) and what follows it."""

    _fields_ = (
        *(("rows", SIZE), ("units", SIZE), ("x", POINTER), ("y", POINTER), ("out", POINTER)),
        *((name, POINTER) for name in ("gain", "offset", "running_mean", "running_var", "batches")),
        *(("eps", DOUBLE), ("momentum", DOUBLE)),
        *((name, POINTER) for name in ("mean", "inverse", "scale", "shift", "sums")),
        *(("kind", SIZE), ("steps", Steps), ("thresholds", Thresholds)),
        *((name, POINTER) for name in ("g", "g_y", "g_x", "of_gain", "of_offset")),
    )


class Calls:
    """The kernels, looked up once; there have to be some (`native.missing`)."""

    def __init__(self) -> None:
        library = native.library()
        self.forward = _call(library.stage_forward, POINTER)
        self.gradient = _call(library.stage_gradient, POINTER)
        self.weights = _call(library.stage_weights, POINTER, ctypes.c_int)
        self.weight_slopes = _call(library.stage_weight_slopes, POINTER, ctypes.c_int)
        self.all_finite = _call(library.all_finite, POINTER, POINTER, ctypes.c_int)
        self.all_finite.restype = ctypes.c_int


class Arrays:
    """Asks of up to `count` tensors at once whether they are finite."""

    def __init__(self, count: int) -> None:
        self._places, self._sizes = (POINTER * count)(), (SIZE * count)()

    def all_finite(self, values: Sequence[torch.Tensor]) -> bool:
        """Whether every number of `values` is finite; float32 on the CPU without holes in memory,
        as gradients are that autograd keeps."""
        for index, value in enumerate(values):
            self._places[index], self._sizes[index] = value.data_ptr(), value.numel()
        places, sizes = ctypes.addressof(self._places), ctypes.addressof(self._sizes)
        return bool(calls().all_finite(places, sizes, len(values)))


def _call(function: ctypes._NamedFuncPointer, *kinds: type) -> ctypes._NamedFuncPointer:
    function.argtypes, function.restype = list(kinds), None
    return function


@functools.cache
def calls() -> Calls:
    """The kernels of this process."""
    return Calls()


def stage_of_norm(
    x: torch.Tensor, y: torch.Tensor, norm: torch.nn.BatchNorm1d, scratch: torch.Tensor
) -> Stage:
    """A stage with a ReLU; what is behind the norm goes into `y`, (2, rows, units), the norm's own
    values first.

    Args:
        x: float32 (rows, units), contiguous.
        scratch: float32 (6, units).
    """
    rows, units = x.shape
    stage = Stage(rows=rows, units=units, eps=norm.eps, momentum=norm.momentum, kind=RELU)
    stage.x, stage.y, stage.out = x.data_ptr(), y[0].data_ptr(), y[1].data_ptr()
    stage.gain, stage.offset = norm.weight.data_ptr(), norm.bias.data_ptr()
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None
    stage.running_mean, stage.running_var = (
        norm.running_mean.data_ptr(),
        norm.running_var.data_ptr(),
    )
    stage.batches = norm.num_batches_tracked.data_ptr()
    names = ("mean", "inverse", "scale", "shift", "sums")
    for name, row in zip(names, scratch, strict=False):
        setattr(stage, name, row.data_ptr())
    return stage


@functools.cache
def same_norms() -> bool:
    """Whether norms here have the bits of torch's on one thread, as on every processor that was
    tried with fused multiply-add. Compared once in a process, on one thread."""
    generator = torch.Generator().manual_seed(0)
    return all(_same(rows, units, generator) for rows, units in ((64, 64), (100, 37), (7, 130)))


@torch.no_grad()
def _same(rows: int, units: int, generator: torch.Generator) -> bool:
    x = torch.randn(rows, units, generator=generator) * 3 + 1
    grad = torch.randn(rows, units, generator=generator)
    norms = [torch.nn.BatchNorm1d(units) for _ in range(2)]
    for norm in norms:
        norm.weight.copy_(torch.linspace(0.2, 1.7, units))
        norm.bias.copy_(torch.linspace(-1.0, 0.7, units))
    made, given = torch.empty(2, rows, units), torch.empty(2, rows, units)
    scratch, slopes = torch.empty(6, units), torch.empty(2, units)
    stage = stage_of_norm(x, made, norms[0], scratch)
    stage.g, stage.g_y, stage.g_x = grad.data_ptr(), given[0].data_ptr(), given[1].data_ptr()
    stage.of_gain, stage.of_offset = slopes[0].data_ptr(), slopes[1].data_ptr()
    calls().forward(ctypes.addressof(stage))
    calls().gradient(ctypes.addressof(stage))
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        y = norms[1](leaf)
        y.relu().backward(grad)
    found = [*made, given[1], *slopes, *norms[0].buffers()]
    wanted = [y, y.relu(), leaf.grad, norms[1].weight.grad, norms[1].bias.grad]
    pairs = zip(found, [*wanted, *norms[1].buffers()], strict=True)
    return all(other is not None and torch.equal(one, other) for one, other in pairs)
