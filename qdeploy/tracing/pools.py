"""Averages over windows of a map, in the forms that become sums of integers."""

from __future__ import annotations

from torch import nn

from qdeploy.tracing.operations import Kind

Shape = tuple[int, ...]


def average(pool: nn.Module, given: Shape, made: Shape) -> list[tuple[Kind, nn.Module]]:
    """An average with a fixed window; where that is the whole map, a global one.

    Args:
        given, made: shapes (C, H, W) or (C, L).
    """
    kernel = as_pair(getattr(pool, "kernel_size", 0), len(given) - 1)
    if kernel == given[1:] and not any(as_pair(getattr(pool, "padding", 0), len(given) - 1)):
        return [(Kind.AVERAGE, _adaptive(len(given)))]
    return [(Kind.AVERAGE, pool)]


def fixed_average(given: Shape, made: Shape) -> list[tuple[Kind, nn.Module]] | None:
    """An adaptive average as one with a fixed window; None where windows differ."""
    if made == given:
        return [(Kind.VIEW, nn.Identity())]
    if all(size == 1 for size in made[1:]):
        return [(Kind.AVERAGE, _adaptive(len(given)))]
    if any(size % own for size, own in zip(given[1:], made[1:], strict=True)):
        return None
    kernel = tuple(size // own for size, own in zip(given[1:], made[1:], strict=True))
    pool = nn.AvgPool2d(kernel) if len(given) == 3 else nn.AvgPool1d(kernel)  # type: ignore[arg-type]
    return [(Kind.AVERAGE, pool)]


def is_global(pool: nn.Module | None) -> bool:
    """Whether an average is over the whole map."""
    return isinstance(pool, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d)


def as_pair(value: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """A size for each axis."""
    return (value,) * count if isinstance(value, int) else tuple(value)


def _adaptive(rank: int) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1) if rank == 3 else nn.AdaptiveAvgPool1d(1)
