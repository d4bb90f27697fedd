"""The recipe's distillation: what a phase learns from a teacher."""

from __future__ import annotations

from pydantic import Field

from qdeploy.recipe.section import Section


class Distillation(Section):
    """Learning from a trained float network, beside the labels (Hinton et al. 2015)."""

    teacher: str | None = Field(
        default=None,
        min_length=1,
        description="folder of a finished run on the same data set, whose float network is the "
        "teacher; default: the float network of this run",
    )
    share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the loss that compares with the teacher's logits; the rest is the "
        "loss of the labels",
    )
    temperature: float = Field(
        default=2.0, gt=0, le=100, description="what both logits are divided by before softmax"
    )
    features: float = Field(
        default=0.0,
        ge=0,
        le=1e3,
        description="weight of a term that compares the outputs of the network's parts, such as "
        "groups of blocks, with the teacher's; it then has the same architecture",
    )
