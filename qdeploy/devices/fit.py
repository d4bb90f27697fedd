"""Whether a design fits a part, and if not: what is exceeded, by which layers, where it would fit.

The one adviser of a folding, which asks by estimate, and of synthesis, which counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qdeploy.devices.boards import Board, list_boards, load_board
from qdeploy.devices.capacity import TITLES, usable

_SHOWN = 3
# Kind of resource -> what the command line calls it, after `--max-`.
FLAGS = {"lut": "lut", "bram36": "bram", "dsp": "dsp"}


@dataclass(frozen=True)
class LayerUse:
    """What one layer uses.

    Args:
        title: as messages name it.
        used: kind of resource -> amount.
    """

    title: str
    used: Mapping[str, float]
    folding: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """What a design uses, against what is usable of a part.

    Args:
        used: kind of resource -> amount.
        available: kind of resource -> what the part has; kinds left out are not compared.
        estimated: whether `used` is an estimate, which may reach a little less.
        most: kind of resource -> amount that is allowed, where that is less than usable.
    """

    used: Mapping[str, float]
    available: Mapping[str, float]
    estimated: bool = False
    most: Mapping[str, float] = field(default_factory=dict)

    def limit(self, kind: str) -> float:
        """The most of a resource that is usable, and allowed."""
        share = usable(kind, estimated=self.estimated)
        return min(self.available[kind] * share, self.most.get(kind, math.inf))

    @property
    def exceeded(self) -> dict[str, float]:
        """Kind of resource -> multiple of its limit, for those exceeded; worst first."""
        over = {
            kind: self.used[kind] / max(self.limit(kind), 1e-9)
            for kind in TITLES
            if kind in self.available and self.used.get(kind, 0) > self.limit(kind)
        }
        return dict(sorted(over.items(), key=lambda item: -item[1]))

    @property
    def fits(self) -> bool:
        """Whether every resource is within its limit."""
        return not self.exceeded

    def missing(self) -> dict[str, float]:
        """Kind of resource -> how much more of it the part would need to have for the design."""
        return {
            kind: (self.used[kind] - self.limit(kind)) / usable(kind, estimated=self.estimated)
            for kind in self.exceeded
        }

    def excess(self) -> str:
        """What is exceeded, and by how much."""
        return ", ".join(
            self._sentence(kind) + (f", {times:.2f} times that" if self.limit(kind) else "")
            for kind, times in self.exceeded.items()
        )

    def _sentence(self, kind: str) -> str:
        about = "about " if self.estimated else ""
        used = f"{about}{self.used[kind]:,.0f} of {self.available[kind]:,.0f} {TITLES[kind]}"
        if kind in self.most:
            return f"{used}, where {self.limit(kind):,.0f} are allowed"
        share = usable(kind, estimated=self.estimated)
        return f"{used} ({share:.0%} = {self.limit(kind):,.0f} are usable)"

    def biggest(self, layers: Sequence[LayerUse]) -> str:
        """The layers that use most of what is exceeded most."""
        kind = next(iter(self.exceeded), "lut")
        ranked = sorted(layers, key=lambda layer: -layer.used[kind])[:_SHOWN]
        return "biggest layers: " + "; ".join(_describe(layer, kind) for layer in ranked)

    def on(self, board: Board) -> Fit:
        """The same design on all of another board."""
        return replace(self, available=available(board), most={})

    def needed(self) -> dict[str, int]:
        """Kind of resource -> what would have to be allowed, for those of `most` exceeded; empty
        where the part itself is too small."""
        if not replace(self, most={}).fits:
            return {}
        return {kind: math.ceil(self.used[kind]) for kind in self.exceeded}

    def other_boards(self, board: str | None = None) -> str:
        """A sentence with the known boards it fits as it is, `board` left out; empty for none."""
        fitting = [
            name for name in list_boards() if name != board and self.on(load_board(name)).fits
        ]
        if not fitting:
            return ""
        fits = "is estimated to fit on" if self.estimated else "fits on"
        return f"as it is it {fits}: {', '.join(fitting)}"


def available(board: Board) -> dict[str, float]:
    """What a board's part has, by the kinds of `TITLES`."""
    return {kind: getattr(board.resources, kind) for kind in TITLES}


def _describe(layer: LayerUse, kind: str) -> str:
    folding = " ".join(f"{key}={value}" for key, value in layer.folding.items())
    amount = f"{layer.title} {layer.used[kind]:,.0f} {TITLES[kind]}"
    return f"{amount} ({folding})" if folding else amount
