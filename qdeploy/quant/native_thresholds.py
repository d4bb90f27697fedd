"""The two passes of learned thresholds in C (`kernels/thresholds.c`), as `native` has them for
steps; for values of which `native.takes_values` is true."""

from __future__ import annotations

import torch

from qdeploy.quant.native import function, in_format_of

_CHUNK = 2048  # as in the source


def count(x: torch.Tensor, edges: torch.Tensor, step: float) -> torch.Tensor:
    """step · #{k : x >= edges[k]} in float32, in the memory format of `x`.

    Args:
        edges: float32, at least one.
    """
    y = torch.empty_like(x, dtype=torch.float32)
    function("count", x.dtype)(
        *(x.data_ptr(), y.data_ptr(), x.numel(), len(edges), edges.data_ptr()),
        *(step, torch.get_num_threads()),
    )
    return y


def parts_of(size: int, levels: int) -> int:
    """Partial sums, in double precision, of a gradient of `size` values."""
    return (2 * levels + 1) * -(-size // _CHUNK)


def gradient(
    grad: torch.Tensor,
    x: torch.Tensor,
    edges: torch.Tensor,
    ends: torch.Tensor,
    slopes: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of `x`, in its type, and the sums from which the others follow, float64.

    Args:
        grad: of the counts times the step, float32.
        edges, slopes: float32 (levels,).
        ends: of the segments, float32 (levels + 1,).

    Returns:
        The sums, (2 · levels + 1,): over each segment of g and of g · (x - its lower end), and of
        g · count over all.
    """
    grad = in_format_of(x, grad)
    levels, out = len(edges), torch.empty_like(x)
    many = 2 * levels + 1
    parts = torch.empty(parts_of(x.numel(), levels), dtype=torch.float64)
    sums = torch.empty(many, dtype=torch.float64)
    function("count_gradient", x.dtype)(
        *(grad.data_ptr(), x.data_ptr(), out.data_ptr(), x.numel(), levels, edges.data_ptr()),
        *(ends.data_ptr(), slopes.data_ptr(), parts.data_ptr(), sums.data_ptr()),
        torch.get_num_threads(),
    )
    return out, sums
