"""The recipe's section `data`, and what is known of a data set; other packages may add some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from qdeploy.recipe.section import NameIn, Section
from qdeploy.registry import Registry

Task = Literal["classification", "segmentation"]
Shape = tuple[int, int, int]
Augment = Literal["none", "crop-flip", "shift", "resized-crop-flip", "scale-crop-flip"]
# Keys that only some data sets take -> what is wrong with them for another one.
OPTIONS = {
    "image_size": "the images of `{}` have a fixed size; drop data.image_size",
    "classes": "the classes of `{}` are fixed; drop data.classes",
    "partial": "`{}` has to be complete; drop data.partial",
}


@dataclass(frozen=True)
class DataSpec:
    """What is known of a data set without loading it.

    Args:
        shape: (channels, height, width) of an image, where the recipe does not say otherwise.
        classes: number of classes, likewise.
        load: `module:function`, imported when the set is loaded, so that recipes are read without
            torch. The function is called with (folder, settings, observer): the folder of the
            data sets or None, the recipe's section, and a `qdeploy.observer.Observer` for what a
            person should know; it returns a `qdeploy.data.dataset.Dataset`.
        task: one label for each image, or one for each pixel.
        void: label that is no class, None where there is none.
        augments: ways of augmenting that fit its images, beside `none`.
        options: keys of the section out of `OPTIONS` that it takes.
        section: class of the recipe's section where it has keys of its own; derived from `Data`.
    """

    shape: Shape
    classes: int
    load: str
    task: Task = "classification"
    void: int | None = None
    augments: tuple[Augment, ...] = ("crop-flip", "shift")
    options: tuple[str, ...] = ()
    section: type[Data] | None = None


DATASETS = Registry[DataSpec](
    "data set",
    "qdeploy.datasets",
    DataSpec,
    {
        "digits": "qdeploy.data.specs:DIGITS",
        "fashion-mnist": "qdeploy.data.specs:FASHION_MNIST",
        "cifar10": "qdeploy.data.specs:CIFAR10",
        "synthetic2d": "qdeploy.data.specs:SYNTHETIC2D",
        "fsdd": "qdeploy.data.specs:FSDD",
        "camvid": "qdeploy.data.specs:CAMVID",
        "imagenet": "qdeploy.data.specs:IMAGENET",
        "voc2012": "qdeploy.data.specs:VOC2012",
    },
)


class Data(Section):
    """Data set and how batches are made."""

    name: Annotated[str, NameIn(DATASETS)] = Field(default="digits", description="data set")
    augment: Augment = Field(
        default="none",
        description="crop-flip: random crop after zero padding, and random horizontal flip; shift: "
        "random shift in time (along the width) after zero padding; resized-crop-flip "
        "(`imagenet`): crop of random area and aspect ratio, and flip; scale-crop-flip "
        "(segmentation): random scale from 0.5 to 2, crop and flip, with the mask",
    )
    crop_padding: int = Field(
        default=4, ge=0, le=64, description="zeros on each side before cropping or shifting"
    )
    batch_size: int = Field(
        default=128,
        ge=1,
        le=65536,
        description="images in a training step, of all processes together",
    )
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=2048,
        description="height and width the network sees, of `imagenet` (default 224) and `voc2012` "
        "(default 513)",
    )
    classes: int | None = Field(
        default=None,
        ge=2,
        le=65536,
        description="class folders of a tree in ImageNet's layout; default the 1,000 of `imagenet`",
    )
    partial: bool = Field(
        default=False,
        description="take an `imagenet` or `voc2012` that is not complete, for trying things out; "
        "it is refused otherwise",
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        le=256,
        description="processes that decode the images of `imagenet` and `voc2012`; 0 decodes "
        "between the steps; default: one for each core",
    )
    on_device: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="whether a data set in memory moves to the accelerator that trains; auto: when "
        "it takes at most a quarter of what is free there",
    )

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> Data:
        spec = DATASETS.load(self.name)
        if self.augment not in ("none", *spec.augments):
            raise ValueError(_misfit(self.augment, self.name, spec.augments))
        for key, message in OPTIONS.items():
            if getattr(self, key) and key not in spec.options:
                raise ValueError(message.format(self.name))
        return self


def _misfit(augment: Augment, name: str, fitting: tuple[Augment, ...]) -> str:
    """Why `augment` is not for the data set `name`, which takes the `fitting` ones."""
    own = {one: DATASETS.load(one) for one in DATASETS.builtin}
    takers = [f"`{one}`" for one, spec in own.items() if augment in spec.augments]
    if augment in DataSpec.augments:
        choices = " or ".join([*fitting, "none"])
        return f"`data.augment: {augment}` does not work on `{name}`; choose {choices}"
    return f"`data.augment: {augment}` is for {' and '.join(takers)}, not for `{name}`"


def data_section(given: object) -> type[Data]:
    """The class for a section as read from a file; that of most sets where its name is unknown.

    Raises:
        UserError: as `Registry.load`.
    """
    name = given.get("name") if isinstance(given, Mapping) else None
    spec = DATASETS.load(name) if name in DATASETS.names() else None
    return Data if spec is None or spec.section is None else spec.section


def _validated(given: Any, as_data: ValidatorFunctionWrapHandler) -> Data:
    section = data_section(given)
    validated: Data = as_data(given) if section is Data else section.model_validate(given)
    return validated


AnyData = Annotated[SerializeAsAny[Data], WrapValidator(_validated)]
