"""Refuse a synthesized design that does not fit, and propose a folding that would.

The estimate behind the proposal: a unit of PE·SIMD lanes takes a fixed part for its control and
buffers and a part that grows with the lanes; measured on xc7 at 32, 128 and 512 two-bit lanes it is
LUT ≈ 250 + 11·lanes and FF ≈ 230 + 0.6·lanes. Folding a layer by f divides its lanes by f and
multiplies its cycles by f. Memory does not follow such a rule: how much there is, and of which
kind, is chosen anew with each folding, so only a lower rate is proposed for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.devices.boards import Board
from qdeploy.devices.fit import FLAGS, LayerUse
from qdeploy.errors import DoesNotFitError
from qdeploy.synth.figures import LayerResources, Resources

# What does not shrink when a unit is folded.
_FIXED = {"lut": 250, "ff": 230, "dsp": 0}


@dataclass(frozen=True)
class Proposal:
    """A folding expected to fit: new PE and SIMD of the layers that change, and what it uses."""

    folding: dict[str, dict[str, int]]
    used: dict[str, float]
    cycles_per_frame: int


def check_fit(resources: Resources, board: Board, clock_mhz: float | None = None) -> None:
    """Refuse a design that is larger than the board.

    Args:
        clock_mhz: clock for the frame rate of the proposal, the board's default when None.

    Raises:
        DoesNotFitError: naming what is exceeded, the biggest layers, and the folding that would fit
            with the frame rate it means, or what else may help.
    """
    fit = resources.fit
    if fit.fits:
        return
    layers = [
        LayerUse(f"`{one.name}` {one.op}", one.counts.used(), one.folding)
        for one in resources.layers
    ]
    raise DoesNotFitError(
        f"the design does not fit the board `{board.name}` ({board.part}): {fit.excess()}",
        where=fit.biggest(layers),
        why=None if fit.needed() else "the rest is for the DMA, the interconnect and routing",
        do=_advice(resources, board, clock_mhz or board.clock_mhz),
    )


def propose(resources: Resources) -> Proposal | None:
    """Fold the biggest layers, step by step, until the estimate fits; None when none does."""
    fit = resources.fit
    if fit.fits or not set(fit.exceeded) <= set(_FIXED):
        return None
    limits = {kind: fit.limit(kind) for kind in _FIXED}
    totals = {kind: fit.used[kind] for kind in _FIXED}
    layers = [_Layer(one) for one in resources.layers]
    while any(totals[kind] > limits[kind] for kind in _FIXED):
        tight = max(_FIXED, key=lambda kind: totals[kind] / max(limits[kind], 1e-9))
        foldable = [one for one in layers if one.can_fold(tight)]
        if not foldable:
            return None
        biggest = max(foldable, key=lambda one: one.size[tight])
        for kind, saved in biggest.fold().items():
            totals[kind] -= saved
    changed = {one.name: one.folding for one in layers if one.changed}
    return Proposal(changed, totals, max(one.cycles for one in layers))


class _Layer:
    """A layer while it is being folded."""

    def __init__(self, one: LayerResources) -> None:
        self.name = one.name
        self.folding = dict(one.folding)
        self.cycles = one.cycles
        self.size = {name: float(getattr(one.counts, name)) for name in _FIXED}
        self.changed = False

    def _lanes(self) -> list[str]:
        return [key for key in ("PE", "SIMD") if self.folding.get(key, 1) > 1]

    def can_fold(self, name: str) -> bool:
        return bool(self._lanes()) and self.size[name] > _FIXED[name]

    def fold(self) -> dict[str, float]:
        """Divide the larger of PE and SIMD by its smallest prime factor; what that saves."""
        key = max(self._lanes(), key=lambda lane: self.folding[lane])
        factor = next(f for f in range(2, self.folding[key] + 1) if self.folding[key] % f == 0)
        self.folding[key] //= factor
        self.cycles *= factor
        self.changed = True
        saved = {
            name: max(size - _FIXED[name], 0.0) * (1 - 1 / factor)
            for name, size in self.size.items()
        }
        for name, less in saved.items():
            self.size[name] -= less
        return saved


def _advice(resources: Resources, board: Board, clock_mhz: float) -> str:
    parts = []
    proposal = propose(resources)
    if proposal is not None:
        steps = "; ".join(
            f"`{layer}` to " + " ".join(f"{key}={value}" for key, value in folding.items())
            for layer, folding in proposal.folding.items()
        )
        rate = clock_mhz * 1e6 / proposal.cycles_per_frame
        parts.append(
            f"fold {steps}: about {proposal.used['lut']:,.0f} LUTs and"
            f" {proposal.cycles_per_frame:,} cycles per frame, so ask for at most"
            f" {rate:,.0f} frames/s at {clock_mhz:g} MHz"
        )
    elif set(resources.fit.exceeded) <= set(_FIXED):
        parts.append(
            "fewer lanes do not make it fit: use a smaller network or weights of fewer bits"
        )
    else:
        rate = clock_mhz * 1e6 / max(one.cycles for one in resources.layers)
        parts.append(
            "a slower folding may fit, since it can keep less in memory or keep it elsewhere: ask"
            f" for less than {rate:,.0f} frames/s at {clock_mhz:g} MHz, or leave the rate out: as"
            " fast as fits; else use a smaller network or weights of fewer bits"
        )
    needed = resources.fit.needed()
    if needed:
        parts.append("or allow " + " ".join(f"--max-{FLAGS[k]} {n}" for k, n in needed.items()))
    boards = "" if needed else resources.fit.other_boards(board.name)
    if boards:
        parts.append(boards)
    return "; ".join(parts)
