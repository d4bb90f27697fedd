"""The built-in data sets: what recipes and networks need to know about each, and its loader."""

from __future__ import annotations

from qdeploy.recipe.data import DataSpec
from qdeploy.recipe.spoken_digits import SpokenDigits

DIGITS = DataSpec((1, 8, 8), 10, "qdeploy.data.digits:load")
SYNTHETIC2D = DataSpec((2, 1, 1), 2, "qdeploy.data.synthetic2d:load", augments=())
FASHION_MNIST = DataSpec((1, 28, 28), 10, "qdeploy.data.mnist:load_fashion")
MNIST = DataSpec((1, 28, 28), 10, "qdeploy.data.mnist:load_mnist")
CIFAR10 = DataSpec((3, 32, 32), 10, "qdeploy.data.cifar10:load")
FSDD = DataSpec((1, 32, 64), 10, "qdeploy.data.fsdd:load", section=SpokenDigits)
IMAGENET = DataSpec(
    (3, 224, 224),
    1000,
    "qdeploy.data.imagenet:load",
    augments=("resized-crop-flip",),
    options=("image_size", "classes", "partial"),
)
CAMVID = DataSpec(
    (3, 180, 240),
    11,
    "qdeploy.data.camvid:load",
    task="segmentation",
    void=11,
    augments=("scale-crop-flip",),
)
VOC2012 = DataSpec(
    (3, 513, 513),
    21,
    "qdeploy.data.voc2012:load",
    task="segmentation",
    void=255,
    augments=("scale-crop-flip",),
    options=("image_size", "partial"),
)
