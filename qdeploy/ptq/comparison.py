"""How a float network and its quantized twin do on the same frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qdeploy.training.objective import ImageTally, Score, Tally


@dataclass(frozen=True)
class Comparison:
    """What was counted.

    Args:
        frames: how many.
        agreement: share of frames, for segmentation of pixels, that get the same class.
        before, after: scores of the float and of the quantized network, None without labels.
    """

    frames: int
    agreement: float
    before: Score | None = None
    after: Score | None = None

    def to_json(self) -> dict[str, Any]:
        """As written in summaries."""
        found: dict[str, Any] = {"frames": self.frames, "agreement": self.agreement}
        if self.before is not None and self.after is not None:
            found |= {"float": self.before.to_json(), "quantized": self.after.to_json()}
        return found


def compare(
    floating: nn.Module,
    quantized: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor | None]],
    tallies: tuple[Tally, Tally] | None = None,
) -> Comparison:
    """Run both networks, in evaluation mode, on the same frames.

    Args:
        batches: network input, and labels or None.
        tallies: fresh ones, for tasks other than the usual one.
    """
    of_float, of_codes = tallies or (ImageTally(), ImageTally())
    frames = same = decisions = 0
    labelled = True
    with torch.no_grad():
        for inputs, labels in batches:
            one, other = floating(inputs), quantized(inputs)
            classes = one.argmax(1)
            same += int((classes == other.argmax(1)).sum())
            decisions += classes.numel()
            frames += len(inputs)
            labelled &= labels is not None
            if labels is not None:
                of_float.add(one, labels)
                of_codes.add(other, labels)
    agreement = same / max(1, decisions)
    if not labelled or not frames:
        return Comparison(frames, agreement)
    return Comparison(frames, agreement, of_float.score(), of_codes.score())
