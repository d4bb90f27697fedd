"""The recipe's sections, their defaults and ranges.

Defaults follow Boo, Shin & Sung 2020 where the paper states a value (sections 5.2 and 5.4,
appendix B); `docs` are the field descriptions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qdeploy.recipe.networks import Network
from qdeploy.recipe.section import Section

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class LayerBits(Section):
    """Bit widths of the layers whose names fit a pattern; what is not given stays."""

    weight_bits: int | None = Field(default=None, ge=1, le=8, description="weights")
    activation_bits: int | None = Field(
        default=None,
        ge=1,
        le=8,
        description="the activation quantizer of that name; from 2 where it has a sign",
    )


class Quantization(Section):
    """Bit widths and scales. Weights are signed, activations behind a ReLU unsigned, residual
    streams and linear bottlenecks signed."""

    weight_bits: int = Field(
        default=2, ge=1, le=8, description="weights of the layers inside; 1 is binary, ±Δ"
    )
    activation_bits: int = Field(default=2, ge=1, le=8, description="activations behind each ReLU")
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


class Data(Section):
    """Data set and how batches are made."""

    name: Literal[
        "digits",
        "fashion-mnist",
        "cifar10",
        "synthetic2d",
        "fsdd",
        "camvid",
        "imagenet",
        "voc2012",
    ] = Field(default="digits", description="data set")
    augment: Literal["none", "crop-flip"] = Field(
        default="none", description="random crop after zero padding, and random horizontal flip"
    )
    crop_padding: int = Field(
        default=4, ge=0, le=16, description="zeros on each side before cropping"
    )
    batch_size: int = Field(default=128, ge=1, le=65536, description="images in a training step")


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


class CyclicalSchedule(Section):
    """Eight discrete factors a cycle (appendix B)."""

    type: Literal["cyclical"]
    period_epochs: int = Field(default=8, ge=1, description="epochs in a cycle of eight factors")
    base_lr: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="largest rate of a cycle; default the optimizer's lr",
    )


Schedule = Annotated[
    ConstantSchedule | StepSchedule | CyclicalSchedule, Field(discriminator="type")
]


class Phase(Section):
    """One stretch of training with one optimizer."""

    name: str = Field(pattern=NAME_PATTERN, description="unique; names checkpoints and metrics")
    kind: Literal["pretrain", "retrain", "finetune"] = Field(
        description="pretrain: in float; retrain: quantized, starts from the float network; "
        "finetune: goes on with the quantized network"
    )
    epochs: int = Field(ge=1, le=100000, description="passes over the training set")
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


class Recipe(Section):
    """Everything that decides the trained weights."""

    name: str = Field(pattern=NAME_PATTERN, description="names the run and build folders")
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of every random choice")
    network: Network = Field(description="the architecture")
    quantization: Quantization = Field(
        default_factory=Quantization, description="bit widths and scales"
    )
    data: Data = Field(default_factory=Data, description="data set")
    training: Training = Field(default_factory=Training, description="for all phases")
    phases: list[Phase] = Field(min_length=1, description="training phases in order")

    @model_validator(mode="after")
    def _phases_make_sense(self) -> Recipe:
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two phases are named `{twice[0]}`; give each its own name")
        kinds = [phase.kind for phase in self.phases]
        order = {"pretrain": 0, "retrain": 1, "finetune": 2}
        if kinds != sorted(kinds, key=order.__getitem__) or kinds.count("retrain") != 1:
            raise ValueError(
                "phases go pretrain, then exactly one retrain, then finetune, "
                f"but here they are: {', '.join(kinds)}"
            )
        if kinds[0] != "pretrain":
            raise ValueError(
                "a retrain phase starts from a float network; put a pretrain phase before it"
            )
        return self

    def epochs_of(self, phase: Phase) -> int:
        """Epochs of `phase`, with `training.epochs` applied."""
        return phase.epochs if self.training.epochs is None else self.training.epochs
