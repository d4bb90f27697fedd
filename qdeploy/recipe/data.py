"""The recipe's section `data`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section

SEGMENTATION = ("camvid", "voc2012")
STREAMED = ("imagenet", "voc2012")
# What each way of augmenting is for; `crop-flip` and `shift` are for images with one label.
ONLY_FOR = {
    "scale-crop-flip": SEGMENTATION,
    "resized-crop-flip": ("imagenet",),
}
Augment = Literal["none", "crop-flip", "shift", "resized-crop-flip", "scale-crop-flip"]


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
        allowed = ONLY_FOR.get(self.augment)
        if allowed is not None and self.name not in allowed:
            raise ValueError(
                f"`data.augment: {self.augment}` is for {' and '.join(f'`{n}`' for n in allowed)}, "
                f"not for `{self.name}`"
            )
        whole_images = (*SEGMENTATION, "imagenet", "synthetic2d")
        if self.augment in ("crop-flip", "shift") and self.name in whole_images:
            other = [way for way, names in ONLY_FOR.items() if self.name in names]
            raise ValueError(
                f"`data.augment: {self.augment}` does not work on `{self.name}`; "
                f"choose {' or '.join([*other, 'none'])}"
            )
        if self.image_size is not None and self.name not in STREAMED:
            raise ValueError(f"the images of `{self.name}` have a fixed size; drop data.image_size")
        if self.classes is not None and self.name != "imagenet":
            raise ValueError(f"the classes of `{self.name}` are fixed; drop data.classes")
        if self.partial and self.name not in STREAMED:
            raise ValueError(f"`{self.name}` has to be complete; drop data.partial")
        return self
