"""The recipe's optimizers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section

OF_SGD = ("momentum", "nesterov")
OF_ADAM = ("beta1", "beta2", "epsilon")


class Optimizer(Section):
    """Stochastic gradient descent with momentum, Adam (Kingma and Ba 2015), or AdamW, which keeps
    the decay of weights apart from the gradient (Loshchilov and Hutter 2019)."""

    type: Literal["sgd", "adam", "adamw"] = Field(default="sgd", description="the optimizer")
    lr: float = Field(
        default=0.1,
        gt=0,
        le=100,
        description="initial learning rate; without a default for Adam, which takes much lower "
        "ones than SGD, usually 1e-3",
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum; of SGD")
    nesterov: bool = Field(
        default=False, description="Nesterov's momentum; of SGD with a momentum above 0"
    )
    beta1: float = Field(
        default=0.9, ge=0, lt=1, description="decay of the mean of gradients; of Adam"
    )
    beta2: float = Field(
        default=0.999, ge=0, lt=1, description="decay of the mean of squared gradients; of Adam"
    )
    epsilon: float = Field(
        default=1e-8, gt=0, le=1, description="added to the root of that mean; of Adam"
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="L2 regularization of the weights (paper: 5e-4 in pretraining, none after), "
        "added to the gradient; with `adamw` weights shrink by lr · weight_decay instead",
    )

    @model_validator(mode="after")
    def _keys_of_its_type(self) -> Optimizer:
        sgd = self.type == "sgd"
        # By value, not by what was written: a stored recipe has every default written out.
        for key in OF_ADAM if sgd else OF_SGD:
            if getattr(self, key) != type(self).model_fields[key].default:
                others = "`adam` and `adamw`" if sgd else "`sgd`"
                raise ValueError(f"the optimizer `{self.type}` has no `{key}`: it is of {others}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov: true` needs a `momentum` above 0")
        if not sgd and "lr" not in self.model_fields_set:
            raise ValueError(
                f"the optimizer `{self.type}` needs its own `lr`, such as 1e-3: the default of "
                f"{self.lr} is for SGD"
            )
        return self
