"""The recipe's means against weights that oscillate between two codes."""

from __future__ import annotations

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section


class Oscillation(Section):
    """Damping and freezing of weights that keep jumping between two codes (Nagel et al. 2022)."""

    damping: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="weight in the loss, at the end of the phase, of the squared distance of "
        "weights from their quantized values; it rises from 0 along half a cosine; 0 is none",
    )
    freeze: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of steps, at the end of the phase, in which a weight's code turns back; "
        "with more it stays at the code that it has had most; 0 freezes none",
    )
    freeze_start: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="this share at the start of the phase, from which it falls along half a "
        "cosine; default: the same",
    )
    momentum: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="share of the newest step in the moving averages of turns and codes",
    )

    @model_validator(mode="after")
    def _freezing_has_a_share(self) -> Oscillation:
        if self.freeze_start is not None and not self.freeze:
            raise ValueError("`freeze_start` needs `freeze`, the share at the end of the phase")
        if self.freeze_start is not None and self.freeze_start < self.freeze:
            raise ValueError(
                f"`freeze_start` {self.freeze_start} is below `freeze` {self.freeze}: the share "
                "falls over the phase"
            )
        return self
