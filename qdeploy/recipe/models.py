"""The recipe's sections, their defaults and ranges.

Defaults follow Boo, Shin & Sung 2020 where the paper states a value (sections 5.2 and 5.4,
appendix B). docs/recipes.md is generated from the field descriptions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.bits import (
    PhaseBits,
    check_bits_fall,
    check_last_bits,
    with_bits,
)
from qdeploy.recipe.data import DATASETS, AnyData, Data
from qdeploy.recipe.distillation import Distillation
from qdeploy.recipe.loss import Loss, check_loss
from qdeploy.recipe.method_rules import check_methods
from qdeploy.recipe.networks import Network
from qdeploy.recipe.optimizer import Optimizer
from qdeploy.recipe.order import QUANTIZING, WITHOUT_EPOCHS, check_order
from qdeploy.recipe.oscillation import Oscillation
from qdeploy.recipe.own_data import SIGNED_ONE_BIT, RealData
from qdeploy.recipe.pruning import Pruning, check_pruning
from qdeploy.recipe.quantization import Quantization
from qdeploy.recipe.schedules import (
    ConstantSchedule,
    CosineSchedule,
    CyclicalSchedule,
    Schedule,
    StepSchedule,
)
from qdeploy.recipe.section import Section
from qdeploy.recipe.training import Training

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
# The same, and what `variant_name` puts behind it.
RUN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*(\+[A-Za-z0-9._=-]*)*$"


class Phase(Section):
    """A part of the training with one optimizer, or a step without training."""

    name: str = Field(pattern=NAME_PATTERN, description="unique; names checkpoints and metrics")
    kind: Literal["pretrain", "direct", "retrain", "recalibrate", "finetune"] = Field(
        description="pretrain: in float; direct: quantizes the float network without training; "
        "retrain: quantized, starts from the float network; recalibrate: recomputes the statistics "
        "of batch norm; finetune: continues with the quantized network"
    )
    epochs: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="passes over the training set; none for `direct` and `recalibrate`, 1 or more "
        "for the others",
    )
    images: int | None = Field(
        default=None,
        ge=1,
        description="training images used by a `recalibrate` phase, in whole batches; default: all",
    )
    optimizer: Optimizer = Field(default_factory=Optimizer, description="optimizer")
    schedule: Schedule = Field(
        default_factory=lambda: ConstantSchedule(type="constant"), description="learning rate"
    )
    warmup_epochs: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="first epochs of the phase, in which the rate rises linearly to the "
        "optimizer's lr; `polynomial` and `cosine` fall over the rest, milestones of `step` count "
        "from the start of the phase; not with `cyclical`",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="epochs after which the phase ends early where none was better on the "
        "validation split, which `data.validation` makes; 0 trains all epochs",
    )
    clip_norm: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="largest norm of the gradient of all parameters together, after the parts of "
        "a batch and the processes are added up; longer ones are scaled down; 0 is no limit",
    )
    loss: Loss = Field(default_factory=Loss, description="loss of the task")
    cutout: int = Field(
        default=0,
        ge=0,
        le=2048,
        description="side, in pixels, of a square hole at a random place of every training image, "
        "filled with zeros, and void in masks; 0 is none",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="training images are mixed two by two, with their labels, in shares from the "
        "distribution Beta(mixup, mixup); 0 is no mixture; not for segmentation",
    )
    lipschitz: float = Field(
        default=0.0,
        ge=0,
        le=1e3,
        description="weight of the loss term L_Lip, eq. (8); the paper uses 1e-4",
    )
    lipschitz_layers: Literal["all", "inner"] = Field(
        default="all",
        description="layers that L_Lip counts as part of the loss: all, as in the paper, or all "
        "but the first and the last, which are quantized least and add most to it",
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights over the phase's steps; the average "
        "is tested and is the result of the phase; 0 is none",
    )

    average_epochs: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="last epochs of the phase whose networks are averaged (SWA); the mean is the "
        "result of the phase; 0 is none",
    )
    refit_epochs: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="epochs after which fixed weight steps are chosen anew, again and again; 0 is "
        "never",
    )
    oscillation: Oscillation = Field(
        default_factory=Oscillation, description="against weights that jump between two codes"
    )
    quantization: PhaseBits | None = Field(
        default=None,
        description="bit widths of a direct, retrain or finetune phase, such as 4 bits before the "
        "recipe's 2; default: those of the recipe",
    )
    distillation: Distillation | None = Field(
        default=None, description="what the phase learns from a teacher; default: nothing"
    )
    pruning: Pruning | None = Field(
        default=None, description="channels that are removed at the end; default: none"
    )
    frozen_norms: bool = Field(
        default=False,
        description="batch norms keep, for the whole phase, the statistics recomputed on "
        "`recalibrate` images at its beginning: the network is trained as it will be deployed; "
        "for a short phase at a low rate, after one that trains as usual",
    )
    recalibrate: int = Field(
        default=4096,
        ge=0,
        description="training images, in whole batches, with which a retrain or finetune phase, or "
        "one that prunes, recomputes the statistics of batch norm at its end, and, on as many of "
        "them as take a tenth of its time, before the test of each epoch; 0 keeps the moving "
        "averages, as the papers do",
    )

    @model_validator(mode="after")
    def _trains_or_not(self) -> Phase:
        if self.kind in WITHOUT_EPOCHS and self.epochs:
            raise ValueError(
                f"the phase `{self.name}` is of kind {self.kind}, which does not train: remove its "
                "`epochs`"
            )
        if self.kind not in WITHOUT_EPOCHS and not self.epochs:
            raise ValueError(f"the phase `{self.name}` needs `epochs`, 1 or more")
        if self.quantization is not None and self.kind in ("pretrain", "recalibrate"):
            raise ValueError(
                f"the phase `{self.name}` is of kind {self.kind}, which changes no bit widths: "
                "remove its `quantization`"
            )
        if self.images is not None and self.kind != "recalibrate":
            raise ValueError(
                f"only a recalibrate phase takes `images`; `{self.name}` is of kind {self.kind}"
            )
        return self

    @model_validator(mode="after")
    def _rates_and_limits_make_sense(self) -> Phase:
        schedule, warmup, lr = self.schedule, self.warmup_epochs, self.optimizer.lr
        given = {
            "warmup_epochs": warmup > 0,
            "patience": self.patience > 0,
            "clip_norm": self.clip_norm > 0,
            "loss": not self.loss.plain,
            "cutout": self.cutout > 0,
            "mixup": self.mixup > 0,
            "distillation": self.distillation is not None,
        }
        for key, wanted in given.items():
            if wanted and self.kind in WITHOUT_EPOCHS:
                raise ValueError(
                    f"the phase `{self.name}` is of kind {self.kind}, which does not train: remove "
                    f"its `{key}`"
                )
        if self.kind == "pretrain" and self.distillation and self.distillation.teacher is None:
            raise ValueError(
                f"the phase `{self.name}` trains the float network, which cannot be its own "
                "teacher: name another run in `distillation.teacher`"
            )
        if isinstance(schedule, CosineSchedule) and schedule.min_lr >= lr:
            raise ValueError(
                f"`min_lr` {schedule.min_lr} of a cosine schedule is not below the optimizer's lr "
                f"{lr}"
            )
        if warmup and isinstance(schedule, CyclicalSchedule):
            raise ValueError(
                f"the phase `{self.name}` has a cyclical schedule, whose rates rise and fall by "
                "themselves: remove its `warmup_epochs`"
            )
        if isinstance(schedule, StepSchedule) and min(schedule.milestones) < warmup:
            raise ValueError(
                f"the milestone {min(schedule.milestones)} of the phase `{self.name}` lies in its "
                f"`warmup_epochs`, {warmup}: milestones count from the start of the phase"
            )
        return self


class Recipe(Section):
    """Everything that determines the trained weights."""

    name: str = Field(pattern=RUN_PATTERN, description="name of the run and build folders")
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of every random choice")
    network: Network = Field(description="the architecture")
    quantization: Quantization = Field(
        default_factory=Quantization, description="bit widths and scales"
    )
    data: AnyData = Field(default_factory=Data, description="data set")
    training: Training = Field(default_factory=Training, description="settings for all phases")
    phases: list[Phase] = Field(min_length=1, description="training phases, in order")

    @model_validator(mode="after")
    def _phases_make_sense(self) -> Recipe:
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two phases are named `{twice[0]}`; give each a unique name")
        check_order([phase.kind for phase in self.phases])
        self._check_bits()
        bits = [self.bits_of(index) for index in range(len(self.phases))]
        check_pruning([phase.model_dump() for phase in self.phases], bits)
        for index, phase in enumerate(self.phases):
            _check_for_data(phase, self.data)
            if phase.patience and not self.data.validation:
                raise ValueError(
                    f"the phase `{phase.name}` has `patience`, but there is no validation split: "
                    "set data.validation, such as 0.1; the test set is not there to choose by"
                )
            epochs = self.epochs_of(phase)
            check_methods(phase.model_dump(), self.bits_of(index).model_dump(), epochs)
            if phase.warmup_epochs and phase.warmup_epochs >= epochs:
                raise ValueError(
                    f"the `warmup_epochs` of the phase `{phase.name}`, {phase.warmup_epochs}, take "
                    f"all of its epochs, {epochs}: set fewer, or none"
                )
        return self

    @model_validator(mode="after")
    def _one_width_of_codes(self) -> Recipe:
        """`data.bits` and `quantization.input_bits` are one number, whichever of them is given."""
        data, bits = self.data, self.quantization.input_bits
        if not isinstance(data, RealData) or data.bits == bits:
            return self
        usual = Quantization.model_fields["input_bits"].default
        if usual not in (data.bits, bits):
            raise ValueError(
                f"`data.bits` is {data.bits} and `quantization.input_bits` {bits}, which are the "
                "same width: give one of the two"
            )
        width = bits if data.bits == usual else data.bits
        if data.signed and width == 1:
            raise ValueError(SIGNED_ONE_BIT)
        # Sections are frozen for everyone else.
        same = data.model_copy(update={"bits": width})
        object.__setattr__(self, "data", same)
        own = self.quantization.model_copy(update={"input_bits": width})
        object.__setattr__(self, "quantization", own)
        return self

    @model_validator(mode="after")
    def _balanced_of_classes(self) -> Recipe:
        if self.data.sampling == "balanced" and self.data.learned_task != "classification":
            raise ValueError(
                "`data.sampling: balanced` is for images of one class each, and "
                f"`{self.data.name}` is for {self.data.learned_task}: remove it"
            )
        return self

    def _check_bits(self) -> None:
        quantizing = [i for i, phase in enumerate(self.phases) if phase.kind in QUANTIZING]
        for one, other in pairwise(quantizing):
            if self.phases[other].kind == "finetune":
                names = (self.phases[one].name, self.phases[other].name)
                check_bits_fall(self.bits_of(one), self.bits_of(other), names)
        last = quantizing[-1]
        own, ends = self.quantization.model_dump(), self.bits_of(last).model_dump()
        check_last_bits(own, ends, self.phases[last].name)

    @property
    def prunes(self) -> bool:
        """Whether the trained network has fewer channels than `network` says."""
        return any(phase.pruning is not None for phase in self.phases)

    def bits_of(self, index: int) -> Quantization:
        """Widths and scales of the quantized network after phase number `index`."""
        while self.phases[index].kind == "recalibrate":
            index -= 1
        return with_bits(self.quantization, self.phases[index].quantization)

    def epochs_of(self, phase: Phase) -> int:
        """Epochs of `phase`, with `training.epochs` applied to phases that train."""
        if self.training.epochs is None or phase.kind in WITHOUT_EPOCHS:
            return phase.epochs
        return self.training.epochs


def _check_for_data(phase: Phase, data: Data) -> None:
    """Reject options of a phase that do not suit the data set.

    Raises:
        ValueError: a sentence with phase and data set.
    """
    spec, (shape, classes) = DATASETS.load(data.name), data.facts()
    weights = phase.loss.class_weights
    if isinstance(weights, list) and classes is not None and len(weights) != classes:
        raise ValueError(
            f"the phase `{phase.name}` has {len(weights)} class weights, but `{data.name}` has "
            f"{classes} classes: give one for each"
        )
    others = {"mixup": phase.mixup > 0, "distillation": phase.distillation is not None}
    check_loss(phase.loss, phase.name, others, numbers=data.learned_task == "regression")
    if phase.mixup and spec.task == "segmentation":
        raise ValueError(
            f"`mixup` of the phase `{phase.name}` is for images with one label, not for the masks "
            f"of `{data.name}`: a pixel has one class"
        )
    if shape is None:
        return
    _, height, width = shape
    if phase.cutout >= max(height, width):
        raise ValueError(
            f"the `cutout` of the phase `{phase.name}`, {phase.cutout} pixels, covers whole images "
            f"of `{data.name}`, which have {height}x{width}: choose a smaller hole"
        )
