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
from qdeploy.recipe.transforms import Jitter
from qdeploy.registry import Registry

Task = Literal["classification", "segmentation", "regression"]
Shape = tuple[int, int, int]
Augment = Literal[
    "none", "crop", "crop-flip", "shift", "standard", "resized-crop-flip", "scale-crop-flip"
]
# Keys that only some data sets take -> the message where another one is given them.
OPTIONS = {
    "image_size": "the images of `{}` have a fixed size; remove data.image_size",
    "classes": "the classes of `{}` are fixed; remove data.classes",
    "partial": "`{}` must be complete; remove data.partial",
}


@dataclass(frozen=True)
class DataSpec:
    """What is known of a data set without loading it.

    Args:
        shape: (channels, height, width) of an image, where the recipe does not say otherwise; None
            where only the files do.
        classes: number of classes, likewise.
        load: `module:function`, imported when the set is loaded, so that recipes are read without
            torch. The function is called with (folder, settings, observer): the folder of the
            data sets or None, the recipe's section, and a `qdeploy.observer.Observer` for notes and
            progress; it returns a `qdeploy.data.dataset.Dataset`.
        task: one label per image, or one per pixel; where a recipe may say otherwise, see
            `Data.learned_task`.
        void: label that is not a class, None where there is none.
        augments: augmentations that suit its images, besides `none`.
        options: the keys in `OPTIONS` that it takes.
        section: class of the recipe's section, a subclass of `Data`, where it has keys of its own.
    """

    shape: Shape | None
    classes: int | None
    load: str
    task: Task = "classification"
    void: int | None = None
    augments: tuple[Augment, ...] = ("crop", "crop-flip", "shift")
    options: tuple[str, ...] = ()
    section: type[Data] | None = None


DATASETS = Registry[DataSpec](
    "data set",
    "qdeploy.datasets",
    DataSpec,
    {
        "digits": "qdeploy.data.specs:DIGITS",
        "mnist": "qdeploy.data.specs:MNIST",
        "fashion-mnist": "qdeploy.data.specs:FASHION_MNIST",
        "cifar10": "qdeploy.data.specs:CIFAR10",
        "synthetic2d": "qdeploy.data.specs:SYNTHETIC2D",
        "fsdd": "qdeploy.data.specs:FSDD",
        "camvid": "qdeploy.data.specs:CAMVID",
        "imagenet": "qdeploy.data.specs:IMAGENET",
        "voc2012": "qdeploy.data.specs:VOC2012",
        "image-folder": "qdeploy.data.own.specs:IMAGE_FOLDER",
        "mask-folder": "qdeploy.data.own.specs:MASK_FOLDER",
        "arrays": "qdeploy.data.own.specs:ARRAYS",
        "csv": "qdeploy.data.own.specs:CSV",
        "parquet": "qdeploy.data.own.specs:PARQUET",
        "series": "qdeploy.data.own.specs:SERIES",
        "torch": "qdeploy.data.own.specs:TORCH",
    },
    plugin="qdeploy.data.own.specs:PYTHON",
)


class Data(Section):
    """Data set, and how batches are made."""

    name: Annotated[str, NameIn(DATASETS)] = Field(default="digits", description="data set")
    augment: Augment = Field(
        default="none",
        description="crop: random crop after zero padding; crop-flip: the same, and random "
        "horizontal flip; shift: random shift in time (along the width) after zero padding; "
        "standard (`image-folder`): move, flip, rotation, scale and colours, by `transforms`; "
        "resized-crop-flip (`imagenet`): crop of random area and aspect ratio, and flip; "
        "scale-crop-flip (segmentation): random scale from 0.5 to 2, crop and flip, together with "
        "the mask",
    )
    crop_padding: int = Field(
        default=4, ge=0, le=64, description="zeros on each side before cropping or shifting"
    )
    jitter: Jitter | None = Field(
        default=None,
        description="light and colours of training images changed at random, after `augment`; "
        "`standard` does it by its `transforms`",
    )
    batch_size: int = Field(
        default=128,
        ge=1,
        le=65536,
        description="images per training step, over all processes",
    )
    sampling: Literal["all", "balanced"] = Field(
        default="all",
        description="images of an epoch: all of them once; balanced: as many of each class, those "
        "of small classes several times; against imbalance, as `loss.class_weights`",
    )
    validation: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the training images of each class that is kept from training, drawn "
        "by the seed: epochs are measured on it, and the test set once, at the end of a phase; 0 "
        "trains on all images and measures epochs on the test set, as the papers do",
    )
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=2048,
        description="height and width of the network's input, for `imagenet` (default 224) and "
        "`voc2012` (default 513)",
    )
    classes: int | None = Field(
        default=None,
        ge=2,
        le=65536,
        description="number of class folders of a data set in ImageNet's layout; default: the "
        "1,000 of `imagenet`",
    )
    partial: bool = Field(
        default=False,
        description="accept an incomplete `imagenet` or `voc2012`, for experiments; otherwise it "
        "is an error",
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        le=256,
        description="processes that decode the images of `imagenet` and `voc2012`; 0 decodes them "
        "between steps; default: one per core",
    )
    on_device: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="whether a data set held in memory moves to the accelerator that trains; auto: "
        "if it takes at most a quarter of the free memory there",
    )

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> Data:
        spec = DATASETS.load(self.name)
        if self.augment not in ("none", *spec.augments):
            raise ValueError(_misfit(self.augment, self.name, spec.augments))
        if self.jitter is not None and self.augment == "standard":
            raise ValueError("`jitter` is in the `transforms` of `augment: standard`: set it there")
        if self.jitter is not None and not set(spec.augments) - {"shift"}:
            raise ValueError(f"`data.jitter` is for images, which `{self.name}` has none of")
        for key, message in OPTIONS.items():
            if getattr(self, key) and key not in spec.options:
                raise ValueError(message.format(self.name))
        return self

    @property
    def learned_task(self) -> Task:
        """What is learned: a class for each image or for each pixel, or numbers."""
        return DATASETS.load(self.name).task

    @property
    def signed_codes(self) -> bool:
        """Whether the network's input codes have both signs; data in bytes have none."""
        return False

    def facts(self) -> tuple[Shape | None, int | None]:
        """Shape of an image and number of classes; None where the files have to be read first."""
        spec = DATASETS.load(self.name)
        shape, size = spec.shape, self.image_size
        if shape is not None and size is not None:
            shape = (shape[0], size, size)
        return shape, self.classes or spec.classes


def _misfit(augment: Augment, name: str, fitting: tuple[Augment, ...]) -> str:
    """Why `augment` does not suit the data set `name`, which takes the `fitting` ones."""
    own = {one: DATASETS.load(one) for one in DATASETS.builtin}
    takers = [f"`{one}`" for one, spec in own.items() if augment in spec.augments]
    if augment in DataSpec.augments:
        choices = " or ".join([*fitting, "none"])
        return f"`data.augment: {augment}` does not work on `{name}`; choose {choices}"
    return f"`data.augment: {augment}` is for {' and '.join(takers)}, not for `{name}`"


def data_section(given: object) -> type[Data]:
    """The class for a section as read from a file; `Data` where the name is unknown.

    Raises:
        UserError: as `Registry.load`.
    """
    name = given.get("name") if isinstance(given, Mapping) else None
    spec = DATASETS.load(name) if isinstance(name, str) and name in DATASETS else None
    return Data if spec is None or spec.section is None else spec.section


def _validated(given: Any, as_data: ValidatorFunctionWrapHandler) -> Data:
    section = data_section(given)
    validated: Data = as_data(given) if section is Data else section.model_validate(given)
    return validated


AnyData = Annotated[SerializeAsAny[Data], WrapValidator(_validated)]
