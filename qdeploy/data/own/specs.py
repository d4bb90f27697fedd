"""The data sets of one's own: what recipes and networks know before the files are read."""

from __future__ import annotations

from qdeploy.recipe.data import DataSpec
from qdeploy.recipe.own_data import (
    Arrays,
    ImageFolder,
    MaskFolder,
    Parquet,
    PythonData,
    Table,
    TorchData,
)
from qdeploy.recipe.series import Series

IMAGE_FOLDER = DataSpec(
    None,
    None,
    "qdeploy.data.own.image_folder:load",
    augments=("crop", "crop-flip", "standard"),
    options=("image_size",),
    section=ImageFolder,
)
MASK_FOLDER = DataSpec(
    None,
    None,
    "qdeploy.data.own.mask_folder:load",
    task="segmentation",
    void=255,
    augments=("scale-crop-flip",),
    options=("image_size",),
    section=MaskFolder,
)
ARRAYS = DataSpec(None, None, "qdeploy.data.own.arrays:load", section=Arrays)
CSV = DataSpec(None, None, "qdeploy.data.own.table:load", augments=(), section=Table)
PARQUET = DataSpec(
    None, None, "qdeploy.data.own.parquet:load", options=("image_size",), section=Parquet
)
SERIES = DataSpec(None, None, "qdeploy.data.own.series:load", augments=("shift",), section=Series)
TORCH = DataSpec(None, None, "qdeploy.data.own.plugin:given", section=TorchData)
PYTHON = DataSpec(None, None, "qdeploy.data.own.plugin:load", section=PythonData)
