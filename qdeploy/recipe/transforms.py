"""The recipe's section `data.transforms`: standard augmentation of images, and how far it goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qdeploy.recipe.section import Section

Chance = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0, lt=1)]


class Jitter(Section):
    """Random changes of light and colour of training images, as other cameras and times of the day
    make them."""

    brightness: Spread = Field(default=0.2, description="factor between 1 - this and 1 + this")
    contrast: Spread = Field(default=0.2, description="likewise, of the distance from mean grey")
    saturation: Spread = Field(
        default=0.2, description="likewise, of the distance from grey; images in colour only"
    )


class Transforms(Jitter):
    """What `augment: standard` changes in training images, besides a move by up to `crop_padding`
    pixels. Outside of the image is black."""

    flip: Chance = Field(default=0.5, description="chance of left and right exchanged")
    vertical_flip: Chance = Field(default=0.0, description="chance of upside down")
    rotation: float = Field(
        default=10.0, ge=0, le=180, description="degrees in either direction at most"
    )
    scale: Spread = Field(default=0.1, description="larger or smaller by this share at most")
    erase: Chance = Field(
        default=0.0,
        description="chance of a black rectangle of 2 to 33 % of the image (random erasing); "
        "`cutout` of a phase makes squares in every image",
    )
