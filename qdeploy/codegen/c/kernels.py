"""Which kernel a step is for, the files it is in, and what they are told by macros."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qdeploy.codegen.c.elements import Element, Stored
from qdeploy.codegen.c.finishing import Finish
from qdeploy.codegen.c.steps import Step
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    MaxPool,
    Threshold,
    Upsample,
)

# Included by all others.
COMMON = ("common.h", "finish.h", "layers.h")
# Order of the element types in `kernels/common.h`.
TYPES = (
    *(Element.U8, Element.I8, Element.U16, Element.I16, Element.I32),
    *(Element.U1, Element.U2, Element.U4),
)
_MOVES = {
    MaxPool: ("qd_max_pool", "max_pool.h", None),
    Concat: ("qd_copy", "copy.h", None),
    Flatten: ("qd_flatten", "flatten.h", None),
    ArgMax: ("qd_argmax", "argmax.h", None),
    Upsample: ("qd_upsample", "enlarge.h", "QD_USE_UPSAMPLE"),
    Dilate: ("qd_dilate", "enlarge.h", "QD_USE_DILATE"),
    DepthToSpace: ("qd_depth_to_space", "enlarge.h", "QD_USE_DEPTH_TO_SPACE"),
}


@dataclass(frozen=True)
class Kernel:
    """A function.

    Args:
        name: of the function.
        file: below `kernels/`.
        uses: macros that must be defined for it, before any file is included.
        template: macros of the instance; none for a file that is included once.
    """

    name: str
    file: str
    uses: tuple[str, ...] = ()
    template: tuple[tuple[str, str], ...] = ()


def kernel_of(step: Step) -> Kernel:
    """The kernel of a step."""
    types = [one.element.suffix for one in step.sources]
    if step.staging is not None:
        unit = f"QD_USE_{step.staging.unit.name}"
        return Kernel("qd_conv_staged", "conv_staged.h", ("QD_USE_STAGED", unit))
    if isinstance(step.node, Dense):
        assert step.weights is not None
        bits, columns = step.weights.bits, step.weights.columns
        trits = step.weights.trits
        rest = trits or bits not in (1, 2, 4, 8) or bits * columns % 8 != 0
        own = bits if not rest and columns * step.result.count >= step.copied else 0
        suffixes = [
            *types,
            *(["trits" if trits else "rest"] if rest else []),
            *([f"w{own}"] if own else []),
        ]
        macros = {
            "QD_LOAD": f"qd_load_{types[0]}",
            "QD_REST": str(int(rest) + int(trits)),
            "QD_BITS": str(own),
        }
        return _instance("dense", "dense.h", (), suffixes, **macros)
    if isinstance(step.node, Conv):
        assert step.weights is not None
        weight = "i16" if step.weights.bits > 8 else "i8"
        return _instance(
            "conv",
            "conv.h",
            (f"QD_USE_WEIGHTS{weight[1:]}",),
            [types[0], *(["w16"] if weight == "i16" else [])],
            QD_LOAD=f"qd_load_{types[0]}",
            QD_WEIGHT=f"qd_load_{weight}",
            QD_UNPACK=f"qd_unpack_{weight}",
        )
    if isinstance(step.node, Add):
        return adding_kernel(*step.sources)
    if isinstance(step.node, Bias | Threshold):
        return _instance("each", "each.h", (), types, QD_LOAD=f"qd_load_{types[0]}")
    if isinstance(step.node, GlobalSum):
        return _instance("global_sum", "global_sum.h", (), types, QD_LOAD=f"qd_load_{types[0]}")
    if type(step.node) in _MOVES:
        name, file, use = _MOVES[type(step.node)]
        return Kernel(name, file, (use,) if use else ())
    raise InternalError(f"there is no kernel for {type(step.node).__name__} ({step.node.name})")


def adding_kernel(one: Stored, other: Stored) -> Kernel:
    """The kernel that adds two tensors."""
    types = [one.element.suffix, other.element.suffix]
    loads = {"QD_LOAD": f"qd_load_{types[0]}", "QD_LOAD_OTHER": f"qd_load_{types[1]}"}
    return _instance("add", "add.h", (), types, **loads)


def kernels_of(step: Step) -> list[Kernel]:
    """All kernels of a step."""
    if step.straight:
        return []
    if step.fused is None:
        return [kernel_of(step)]
    mapped, added = step.fused.mapped, step.sources[1]
    kernels = [kernel_of(step)]
    if mapped is not None:
        kernels.append(kernel_of(replace(mapped, sources=(added,))))
        added = mapped.result
    return [*kernels, adding_kernel(step.fused.middle, added)]


def finish_kind(finish: Finish) -> tuple[str, str | None]:
    """The kind of a finish in C, and the macro that it needs."""
    if finish.codes is not None:
        return "QD_LOOKUP", "QD_USE_LOOKUP"
    if finish.line32 is not None:
        return "QD_LINE32", "QD_USE_LINE32"
    if finish.line is not None:
        return "QD_LINE", "QD_USE_LINE"
    if finish.table is not None:
        bits = 8 * finish.element.size
        return f"QD_SEARCH{bits}", f"QD_USE_SEARCH{bits}"
    return ("QD_NOTHING", None) if finish.bias is None else ("QD_BIAS", "QD_USE_BIAS")


def _instance(
    kind: str, file: str, uses: tuple[str, ...], suffixes: list[str], **macros: str
) -> Kernel:
    name = "_".join(["qd", kind, *suffixes])
    return Kernel(name, file, uses, (("QD_NAME", name), *macros.items()))
