"""Section `training` of a recipe: settings for all phases."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section

Log = Literal["csv", "tensorboard"]


class Training(Section):
    """Settings for all phases."""

    epochs: int | None = Field(
        default=None, ge=1, le=100000, description="when given, overrides the epochs of every phase"
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="threads of torch; small networks are fastest with one, and weights are "
        "bit-identical only between runs with the same number; default: torch's own choice",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        default="cpu", description="device that trains; `auto` uses a GPU if there is one"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of products in training; quantizers, the statistics of batch norm, weights "
        "and evaluation stay in float32",
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="epoch of each phase whose network is kept, and goes into the next phase: the "
        "best one on the validation split, the later one where two are equal; or the last one, as "
        "also where there is no validation split",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=65536,
        description="number of parts into which a batch is split; their gradients add up, so a "
        "step is still one of `data.batch_size` images, but batch norm sees one part at a time",
    )
    worker_timeout: int = Field(
        default=600,
        ge=1,
        description="seconds that processes of a data-parallel training wait for one another",
    )
    logs: list[Log] = Field(
        default_factory=list,
        description="logs beside `metrics.jsonl`: `csv`, the same rows as `metrics.csv`; "
        "`tensorboard`, curves in the folder `tensorboard`, with the package of that name",
    )

    @model_validator(mode="after")
    def _logs_once(self) -> Training:
        if len(set(self.logs)) < len(self.logs):
            raise ValueError("`training.logs` names a log twice")
        return self
