"""The recipe's sections, their defaults and ranges.

Defaults follow Boo, Shin & Sung 2020 where the paper states a value (sections 5.2 and 5.4,
appendix B); `docs` are the field descriptions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qdeploy.recipe.data import AnyData, Data
from qdeploy.recipe.networks import Network
from qdeploy.recipe.section import Section

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Width = Annotated[int, Field(ge=1, le=8)] | Literal["float"]
QUANTIZED_FROM_FLOAT = ("direct", "retrain")
WITHOUT_EPOCHS = ("direct", "recalibrate")


class LayerBits(Section):
    """Bit widths of the layers whose names fit a pattern; what is not given stays."""

    weight_bits: Width | None = Field(default=None, description="weights")
    activation_bits: Width | None = Field(
        default=None,
        description="the activation quantizer of that name; from 2 where it has a sign",
    )


class Quantization(Section):
    """Bit widths and scales. Weights are signed, activations behind a ReLU unsigned, residual
    streams and linear bottlenecks signed."""

    weight_bits: Width = Field(
        default=2,
        description="weights of the layers inside; 1 is binary, ±Δ; `float` leaves all weights of "
        "the network in float",
    )
    activation_bits: Width = Field(
        default=2,
        description="activations behind each ReLU; `float` leaves them, residual additions and "
        "linear bottlenecks in float",
    )
    residual_bits: int = Field(
        default=8,
        ge=2,
        le=8,
        description="both branches of a residual addition, and linear bottlenecks",
    )
    first_layer_bits: int = Field(default=8, ge=1, le=8, description="weights of the first layer")
    last_layer_bits: int = Field(default=8, ge=1, le=8, description="weights of the last layer")
    input_bits: int = Field(
        default=8, ge=1, le=8, description="upper bits of the raw bytes that are used"
    )
    layers: dict[str, LayerBits] = Field(
        default_factory=dict,
        description="bit widths of single layers by name pattern, such as `group2.*`; "
        "where several fit, the last one counts",
    )
    scale: Literal["float", "power_of_two"] = Field(
        default="float", description="kind of every learned scale"
    )
    weight_scaling: Literal["per_layer", "per_channel"] = Field(
        default="per_layer",
        description="one weight scale a layer or an output channel; the last layer always has one",
    )
    weight_levels: Literal["symmetric", "all"] = Field(
        default="symmetric",
        description="codes of b bits: 2**b - 1, symmetric (ternary with 2 bits), or all 2**b "
        "(4 levels with 2 bits: -2 to 1)",
    )
    weight_init: Literal["mse", "statistics"] = Field(
        default="mse",
        description="starting scale of the weights: least squared error, or the largest magnitude",
    )
    weight_step: Literal["learned", "fixed"] = Field(
        default="learned",
        description="scales of the weights are trained with them, or stay as `weight_init` set "
        "them",
    )
    clip_gradient: Literal["step", "pact"] = Field(
        default="step",
        description="gradient of an activation's clip: `step` counts rounding errors too (LSQ), "
        "`pact` only what is clipped (PACT, eq. 3)",
    )


class Optimizer(Section):
    """Stochastic gradient descent with momentum."""

    type: Literal["sgd"] = Field(default="sgd", description="the optimizer")
    lr: float = Field(default=0.1, gt=0, le=100, description="learning rate at the start")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum")
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="L2 regularization of the weights (paper: 5e-4 in pretraining, none after)",
    )


class ConstantSchedule(Section):
    """The learning rate stays."""

    type: Literal["constant"]


class StepSchedule(Section):
    """The learning rate is multiplied by `gamma` at each milestone."""

    type: Literal["step"]
    milestones: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="epochs of the phase after which the rate drops"
    )
    gamma: float = Field(default=0.1, gt=0, lt=1, description="factor at each milestone")


class PolynomialSchedule(Section):
    """The learning rate falls to 0 at the end of the phase: lr · (1 - step / steps)**power."""

    type: Literal["polynomial"]
    power: float = Field(
        default=0.9, gt=0, le=10, description="exponent; 0.9 is DeepLab's, 1 is linear"
    )


class CyclicalSchedule(Section):
    """Eight discrete rates a cycle, falling and rising exponentially (appendix B). Its bounds are
    `base_lr` and a hundredth of it, or `max_lr` and `min_lr`."""

    type: Literal["cyclical"]
    period_epochs: int = Field(default=8, ge=1, description="epochs in a cycle of eight rates")
    period_steps: int | None = Field(
        default=None, ge=8, description="steps in a cycle; replaces `period_epochs`"
    )
    base_lr: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="largest rate of a cycle; default the optimizer's lr",
    )
    max_lr: float | None = Field(
        default=None, gt=0, le=100, description="largest rate; together with `min_lr`"
    )
    min_lr: float | None = Field(default=None, gt=0, le=100, description="smallest rate")

    @model_validator(mode="after")
    def _one_pair_of_bounds(self) -> CyclicalSchedule:
        if self.max_lr is None and self.min_lr is None:
            return self
        if self.max_lr is None or self.min_lr is None or self.base_lr is not None:
            raise ValueError(
                "a cyclical schedule takes either `base_lr`, or `max_lr` and `min_lr` together"
            )
        if self.min_lr >= self.max_lr:
            raise ValueError(
                f"`min_lr` {self.min_lr} of a cyclical schedule is not below `max_lr` {self.max_lr}"
            )
        return self


Schedule = Annotated[
    ConstantSchedule | StepSchedule | PolynomialSchedule | CyclicalSchedule,
    Field(discriminator="type"),
]


class Phase(Section):
    """One stretch of training with one optimizer, or a step without training."""

    name: str = Field(pattern=NAME_PATTERN, description="unique; names checkpoints and metrics")
    kind: Literal["pretrain", "direct", "retrain", "recalibrate", "finetune"] = Field(
        description="pretrain: in float; direct: quantizes the float network and trains nothing; "
        "retrain: quantized, starts from the float network; recalibrate: takes batch norm's "
        "statistics anew; finetune: goes on with the quantized network"
    )
    epochs: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="passes over the training set; `direct` and `recalibrate` have none, the "
        "others need 1 or more",
    )
    images: int | None = Field(
        default=None,
        ge=1,
        description="training images of a `recalibrate` phase, in whole batches; default all",
    )
    optimizer: Optimizer = Field(default_factory=Optimizer, description="optimizer")
    schedule: Schedule = Field(
        default_factory=lambda: ConstantSchedule(type="constant"), description="learning rate"
    )
    lipschitz: float = Field(
        default=0.0,
        ge=0,
        le=1e3,
        description="factor of the term L_Lip, eq. (8); the paper uses 1e-4",
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of a moving average over the phase's steps, which is what is tested and "
        "what the phase ends with; 0 is none",
    )

    @model_validator(mode="after")
    def _trains_or_not(self) -> Phase:
        if self.kind in WITHOUT_EPOCHS and self.epochs:
            raise ValueError(
                f"the phase `{self.name}` is of the kind {self.kind}, which trains nothing: "
                "leave its `epochs` out"
            )
        if self.kind not in WITHOUT_EPOCHS and not self.epochs:
            raise ValueError(f"the phase `{self.name}` needs `epochs`, 1 or more")
        if self.images is not None and self.kind != "recalibrate":
            raise ValueError(
                f"only a recalibrate phase takes `images`; `{self.name}` is of the kind {self.kind}"
            )
        return self


class Training(Section):
    """What holds for all phases."""

    epochs: int | None = Field(
        default=None, ge=1, le=100000, description="when given, replaces the epochs of every phase"
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="threads of torch; small networks are fastest with one, and weights are equal "
        "bit for bit only between runs with equal numbers; default: what torch finds",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        default="cpu", description="what computes; `auto` takes a GPU where there is one"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of products in training; quantizers, batch norm's statistics, weights and "
        "evaluation keep float32",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=65536,
        description="parts that a batch goes through the network in; gradients add up, so a step "
        "is still that of `data.batch_size` images, but batch norm sees one part at a time",
    )
    worker_timeout: int = Field(
        default=600,
        ge=1,
        description="seconds that processes of a data-parallel training wait for one another",
    )


class Recipe(Section):
    """Everything that decides the trained weights."""

    name: str = Field(pattern=NAME_PATTERN, description="names the run and build folders")
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of every random choice")
    network: Network = Field(description="the architecture")
    quantization: Quantization = Field(
        default_factory=Quantization, description="bit widths and scales"
    )
    data: AnyData = Field(default_factory=Data, description="data set")
    training: Training = Field(default_factory=Training, description="for all phases")
    phases: list[Phase] = Field(min_length=1, description="training phases in order")

    @model_validator(mode="after")
    def _phases_make_sense(self) -> Recipe:
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two phases are named `{twice[0]}`; give each its own name")
        _check_order([phase.kind for phase in self.phases])
        return self

    def epochs_of(self, phase: Phase) -> int:
        """Epochs of `phase`, with `training.epochs` applied to phases that train."""
        if self.training.epochs is None or phase.kind in WITHOUT_EPOCHS:
            return phase.epochs
        return self.training.epochs


def _check_order(kinds: list[str]) -> None:
    """Refuse phases in an order that makes no sense.

    Raises:
        ValueError: a sentence with the order there is.
    """
    here = f"here they are: {', '.join(kinds)}"
    if kinds[0] != "pretrain":
        raise ValueError(
            f"a {kinds[0]} phase needs a float network; put a pretrain phase before it"
        )
    order = {"pretrain": 0, "direct": 1, "retrain": 2, "finetune": 2}
    trained = [kind for kind in kinds if kind != "recalibrate"]
    if trained != sorted(trained, key=order.__getitem__) or trained.count("direct") > 1:
        raise ValueError(
            "phases go pretrain, then one direct, retrain or both, then finetune or retrain anew, "
            f"but {here}"
        )
    if not set(kinds) & set(QUANTIZED_FROM_FLOAT):
        raise ValueError(f"no phase quantizes the network: add a retrain or direct one; {here}")
    behind = trained[trained.index("finetune") - 1] if "finetune" in trained else "retrain"
    if behind != "retrain":
        raise ValueError(f"a finetune phase goes on behind a retrain phase, but {here}")
    first = min(kinds.index(kind) for kind in QUANTIZED_FROM_FLOAT if kind in kinds)
    if "recalibrate" in kinds[:first]:
        raise ValueError(f"a recalibrate phase needs the quantized network, but {here}")
