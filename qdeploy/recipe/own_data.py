"""Sections `data` for files of one's own: what the recipe says, and what is found in the files.

Shape, class names and the range of real values are found when a training begins, and kept in the
recipe of the run, so that a run is whole without its data. Who writes them into a recipe decides
them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, JsonValue, model_validator

from qdeploy.recipe.data import Data, Shape, Task
from qdeploy.recipe.transforms import Transforms

Size = Annotated[int, Field(ge=1, le=1 << 16)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
MAX_CLASSES = 1000
SIGNED_ONE_BIT = "signed codes have at least 2 `bits`: one bit is 0 or -1"


class OwnData(Data):
    """What all data sets of one's own have in common."""

    path: Text = Field(
        description="file or folder; a relative one is below the folder of the data sets "
        "(`--data`), and where that was not given, below the working folder"
    )
    test: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="share of each class that is the test set, where the files have none",
    )
    split_seed: int = Field(
        default=0, ge=0, lt=1 << 63, description="draws that test set; the recipe's seed does not"
    )
    validation: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="as for every data set; where the files have a validation set, it counts",
    )
    shape: tuple[Size, Size, Size] | None = Field(
        default=None, description="channels, height, width; default: that of the files"
    )
    class_names: tuple[Text, ...] | None = Field(
        default=None,
        min_length=2,
        max_length=MAX_CLASSES,
        description="in the order of the network's outputs; default: those of the files, sorted",
    )

    @model_validator(mode="after")
    def _each_once(self) -> OwnData:
        names = self.class_names or ()
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the class `{twice}` is there twice")
        return self

    def facts(self) -> tuple[Shape | None, int | None]:
        names = self.target_names if self.learned_task == "regression" else self.class_names
        return self.shape, None if names is None else len(names)

    @property
    def target_names(self) -> tuple[str, ...] | None:
        """Names of the numbers to predict, None where the recipe does not say."""
        return None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be found in the files."""
        return self.shape is not None and self.class_names is not None


class Pictures(OwnData):
    """What data sets of images in files have in common."""

    resize: Literal["crop", "pad", "squash"] = Field(
        default="crop",
        description="how an image of another aspect ratio comes to `image_size` squared: crop: its "
        "middle; pad: all of it, with black around; squash: all of it, out of proportion",
    )
    colours: Literal["auto", "grey", "rgb"] = Field(
        default="auto", description="auto: grey where all images are"
    )


class ImageFolder(Pictures):
    """Images in one folder per class, below `path` or its `train`, `val` and `test`."""

    transforms: Transforms | None = Field(
        default=None, description="how far `augment: standard` goes; default: as the section's keys"
    )

    @model_validator(mode="after")
    def _transforms_are_of_standard(self) -> ImageFolder:
        if self.transforms is not None and self.augment != "standard":
            raise ValueError("`transforms` has no effect: set `augment: standard`, or remove it")
        return self


class MaskFolder(ImageFolder):
    """Images with a class for each pixel: `images` and `masks` with files of the same names, below
    `path` or its `train`, `val` and `test`. A mask is a PNG whose pixels are numbers of classes."""

    void: int = Field(
        default=255, ge=1, le=255, description="number in masks that is no class and does not count"
    )


class RealData(OwnData):
    """Files whose values may be real numbers: each row gets a range, whose equal steps are codes.

    A row is a channel or a feature. Where values beyond the range become its ends:

        code = round((x - low) · (2^bits - 1) / (high - low))      `scaling: range`
        low, high = mean ∓ limit · scale                           `scaling: standard`

    With `signed` the codes are those minus 2^(bits - 1); with `scaling: standard` code 0 is then
    the mean: code = round((x - mean) · (2^(bits - 1) - 1) / (limit · scale)).
    """

    scaling: Literal["range", "standard"] | None = Field(
        default=None,
        description="of each row: range: from `low` to `high`; standard: `limit` times `scale` on "
        "both sides of `mean`; default: standard where these are given",
    )
    bits: int = Field(
        default=8,
        ge=1,
        le=8,
        description="of a code of a real value; the same as `quantization.input_bits`, one of the "
        "two is enough",
    )
    signed: bool = Field(
        default=False,
        description="codes of both signs, from -2^(bits - 1): code 0, which is also what "
        "convolutions pad with, is the middle of the range; default: code 0 is its low end",
    )
    clip: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="range: share of the training set's values that may lie below it, and above "
        "it; they become the nearest code",
    )
    low: tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="range: value of the lowest code, of each row; default: by the training set",
    )
    high: tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="range: value of the highest code, of each row; default: by the training set",
    )
    mean: tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="standard: middle of the range, of each row; default: by the training set",
    )
    scale: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] | None = Field(
        default=None,
        description="standard: of each row; default: the training set's standard deviation",
    )
    limit: float = Field(
        default=4.0,
        gt=0,
        le=1000,
        description="standard: how many times `scale` the range reaches from `mean`; values beyond "
        "become the nearest code",
    )

    task: Literal["classification", "regression"] = Field(
        default="classification",
        description="regression: labels are numbers to predict, one or several for each frame",
    )
    targets: tuple[Text, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CLASSES,
        description="regression: names of the numbers, for `csv` their columns; default: the "
        "column `label`, or y",
    )
    target_mean: tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="regression: what the network's output 0 stands for; default: the mean of the "
        "training set",
    )
    target_scale: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] | None = Field(
        default=None,
        description="regression: what a step of 1 stands for; default: the standard deviation of "
        "the training set",
    )

    @property
    def learned_task(self) -> Task:
        return self.task

    @property
    def signed_codes(self) -> bool:
        return self.signed

    @property
    def standard(self) -> bool:
        """Whether ranges are made of mean and scale."""
        given = self.mean is not None or self.scale is not None
        return self.scaling == "standard" or (self.scaling is None and given)

    @property
    def target_names(self) -> tuple[str, ...] | None:
        return self.targets

    @property
    def complete(self) -> bool:
        scaled = self.low is not None or self.mean is not None
        if self.task == "regression":
            known = self.targets is not None and self.target_mean is not None
            return self.shape is not None and known and scaled
        return super().complete and scaled

    @model_validator(mode="after")
    def _targets_are_of_regression(self) -> RealData:
        given = {
            "targets": self.targets,
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
        }
        if self.task != "regression":
            for key, value in given.items():
                if value is not None:
                    raise ValueError(f"`{key}` is for numbers to predict: set `task: regression`")
            return self
        if self.class_names is not None:
            raise ValueError("numbers to predict have no classes: remove `class_names`")
        if (self.target_mean is None) != (self.target_scale is None):
            raise ValueError("`target_mean` and `target_scale` belong together: give both, or none")
        counts = {key: len(value) for key, value in given.items() if value is not None}
        if len(set(counts.values())) > 1:
            raise ValueError(
                "`targets`, `target_mean` and `target_scale` have different numbers of entries: "
                + ", ".join(f"{key} {count}" for key, count in counts.items())
            )
        return self

    @model_validator(mode="after")
    def _ranges(self) -> RealData:
        low, high = self.low, self.high
        ranged = bool(self.clip) or low is not None or high is not None
        if self.standard and ranged:
            raise ValueError(
                "`low`, `high` and `clip` are of `scaling: range`, `mean` and `scale` of `scaling: "
                "standard`, where `limit` is how far it reaches: give those of one"
            )
        if not self.standard and (self.mean is not None or self.scale is not None):
            raise ValueError("`mean` and `scale` are of `scaling: standard`, not of `range`")
        if self.signed and self.bits == 1:
            raise ValueError(SIGNED_ONE_BIT)
        if (self.mean is None) != (self.scale is None):
            raise ValueError("`mean` and `scale` belong together: give both, or none")
        if self.mean is not None and self.scale is not None and len(self.mean) != len(self.scale):
            raise ValueError(f"`mean` has {len(self.mean)} values and `scale` {len(self.scale)}")
        if (low is None) != (high is None):
            raise ValueError("`low` and `high` belong together: give both, or none")
        if low is not None and high is not None:
            if len(low) != len(high):
                raise ValueError(f"`low` has {len(low)} values and `high` {len(high)}")
            for row, (first, last) in enumerate(zip(low, high, strict=True)):
                if first >= last:
                    raise ValueError(f"`low` is not below `high` in row {row}")
        return self


class Arrays(RealData):
    """An .npz with `x` and `y` (and `x_test`, `y_test`, `x_val`, `y_val`), or an .npy.

    (N, F) are vectors, (N, C, H, W) images; (N, H, W) are images where they are bytes, else series
    (N, C, L).
    """

    labels: Text | None = Field(
        default=None, description="an .npy with the labels, where `path` has none"
    )


class Table(RealData):
    """A CSV file with a line of names: features and one column of labels."""

    label: Text = Field(default="label", description="column of the labels")
    features: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="columns; default: all others"
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="between the columns"
    )
    test_path: Text | None = Field(
        default=None, description="a file with the test set; default: a share of `path`"
    )

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns that are no features: of the labels, or of the numbers to predict."""
        return self.targets or (self.label,)


class Parquet(Pictures, RealData):
    """Rows of parquet files, as Hugging Face's `datasets` writes them: images and labels, or
    numbers and labels. Names of files or folders say `train`, `test` or `validation`."""

    label: Text = Field(default="label", description="column of the labels")
    image: Text | None = Field(
        default=None,
        description="column of the images; default: that which the files' metadata call one, else "
        "`image`, `img` or `pixels`; where there is none, rows are numbers",
    )
    features: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="columns of numbers; default: all others"
    )

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns that are no features: of the labels, or of the numbers to predict."""
        return self.targets or (self.label,)

    @model_validator(mode="after")
    def _one_kind_of_rows(self) -> Parquet:
        if self.image is not None and self.features is not None:
            raise ValueError("rows are images or numbers: give `image` or `features`, not both")
        return self


class TorchData(RealData):
    """A torch Dataset, or a pair or a mapping of them, given to qdeploy as an object in Python."""

    path: Text = Field(default=".", description="not read: the object is the data set")


class PythonData(TorchData):
    """What a function of one's own makes, named as `python:module:function`: a torch Dataset, a
    pair of them for training and test, or a mapping with `train`, `test` and `val`."""

    path: Text = Field(
        default=".",
        description="file or folder for the function, where it has an argument `path`; a relative "
        "one is below the folder of the data sets (`--data`), else below the working folder",
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="further arguments of the function, by name"
    )
