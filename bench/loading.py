"""Images per second of each data loader, compared with a training step.

    python bench/loading.py [--data FOLDER] [NAME ...]     default FOLDER: QDEPLOY_DATA

A loader's rate is that of `training_batches`, augmentation and conversion included; a step is
forward, backward and update of a network that the papers train on the set, with two-bit weights and
activations. Both are images per second of one core, in processor time including the decoding
processes, so that other work on the machine does not count. ImageNet and VOC are folder trees of
generated photographs of their usual 500x375 pixels. The ratio says how much faster a core loads
images than a core trains on them: above 1, training never waits for files that are decoded in
parallel; for data sets in memory, its inverse is what loading adds to a step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import row, save

from qdeploy.data.load import load_dataset
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching, training_batches
from qdeploy.training.objective import task_loss

SECONDS = 2.0  # of processor time, of loading and of training, per data set
PHOTOGRAPHS, IMAGES = 16, 256  # different ones, and files in a generated tree
RESNET8 = {"type": "resnet", "depth": 8, "width": 16}
DEEPLAB = {"type": "deeplab"}


@dataclass(frozen=True)
class Case:
    """One data set and what is trained on it.

    Args:
        step: images in the training step that is timed; fewer than the batch where memory or time
            require it.
    """

    data: dict[str, Any]
    network: dict[str, Any]
    title: str
    step: int


CASES = {
    "synthetic2d": Case(
        {"batch_size": 128}, {"type": "fcdnn", "width": 128, "depth": 4}, "FCDNN 128-4", 128
    ),
    "fashion-mnist": Case({"batch_size": 128}, RESNET8, "ResNet-8 of width 16", 128),
    "cifar10": Case(
        {"batch_size": 128, "augment": "crop-flip"}, RESNET8, "ResNet-8 of width 16", 128
    ),
    "fsdd": Case({"batch_size": 64, "augment": "shift"}, RESNET8, "ResNet-8 of width 16", 64),
    "camvid": Case(
        {"batch_size": 8, "augment": "scale-crop-flip"},
        {**DEEPLAB, "multiplier": 0.25},
        "DeepLab on MobileNetV2 x0.25",
        8,
    ),
    "voc2012": Case(
        {"batch_size": 16, "augment": "scale-crop-flip", "partial": True},
        DEEPLAB,
        "DeepLab on MobileNetV2",
        2,
    ),
    "imagenet": Case(
        {"batch_size": 64, "augment": "resized-crop-flip", "classes": 4},
        {"type": "resnet", "blocks": [2, 2, 2, 2], "width": 64, "stem": "7x7-pool"},
        "ResNet-18",
        8,
    ),
}


def recipe_of(name: str, case: Case) -> Recipe:
    """A recipe that loads the set and trains the network."""
    phases = [
        {"name": "float", "kind": "pretrain", "epochs": 1},
        {"name": "retrain", "kind": "retrain", "epochs": 1},
    ]
    data = {"name": name, "workers": 1, **case.data}
    return Recipe.model_validate(
        {"name": f"loading-{name}", "network": case.network, "data": data, "phases": phases}
    )


def processor_time() -> float:
    """Seconds that this process and its children that have ended spent on a core."""
    return sum(os.times()[:4])


def loading_rate(recipe: Recipe, folder: Path | None) -> float:
    """Images per second of a core, over whole epochs, since a worker's time is known when it
    has ended."""
    dataset = load_dataset(recipe.data, folder)
    batching = Batching.of(recipe)
    images, epoch, began = 0, 0, processor_time()
    while processor_time() - began < SECONDS:
        images += sum(len(labels) for _, labels in training_batches(dataset, batching, 0, epoch))
        epoch += 1
    return images / (processor_time() - began)


def training_rate(recipe: Recipe, folder: Path | None, step: int) -> float:
    """Images per second of a core for forward, backward and update, without any loading."""
    dataset = load_dataset(recipe.data, folder)
    network = build_network(recipe, quantized=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    inputs, labels = next(training_batches(dataset, Batching.of(recipe), 0, 0))
    inputs, labels = inputs[:step], labels[:step]
    images, began = 0, 0.0
    while True:
        loss = task_loss(dataset, network(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if not began:  # the first step makes the quantizers' buffers
            began = processor_time()
            continue
        images += step
        if processor_time() - began > SECONDS:
            return images / (processor_time() - began)


def photograph(rng: np.random.Generator) -> Image.Image:
    """Noise on all scales, which takes a JPEG about as many bytes as a photograph."""
    total = np.zeros((375, 500, 3))
    for level in range(1, 8):
        small = rng.integers(0, 256, (3 * 2**level, 4 * 2**level, 3), dtype=np.uint8)
        layer = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        total += np.asarray(layer, dtype=np.float64) / 1.7**level
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) / (high - low) * 255).astype(np.uint8))


def write_trees(folder: Path) -> None:
    """ImageNet's and VOC's layouts with generated photographs, each under many names."""
    rng = np.random.default_rng(0)
    store = folder / "photographs"
    store.mkdir()
    for index in range(PHOTOGRAPHS):
        photograph(rng).save(store / f"{index}.jpg", quality=90)
    blocks = np.kron(rng.integers(0, 21, (15, 20)), np.ones((25, 25))).astype(np.uint8)
    Image.fromarray(blocks).save(store / "mask.png")
    voc = folder / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / part).mkdir(parents=True)
    for index in range(IMAGES):
        image = store / f"{index % PHOTOGRAPHS}.jpg"
        for part in ("train", "val"):
            wnid = folder / "imagenet" / part / f"n{index % 4:08}"
            wnid.mkdir(parents=True, exist_ok=True)
            os.link(image, wnid / f"{index}.JPEG")
        os.link(image, voc / "JPEGImages" / f"{index}.jpg")
        os.link(store / "mask.png", voc / "SegmentationClass" / f"{index}.png")
    half = IMAGES // 2
    for part, own in (("train", range(half)), ("val", range(half, IMAGES))):
        names = "".join(f"{index}\n" for index in own)
        (voc / "ImageSets" / "Segmentation" / f"{part}.txt").write_text(names, encoding="utf-8")


def main() -> None:
    """Measure the selected data sets, print a line for each, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("QDEPLOY_DATA") or None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in CASES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(CASES)}")
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="qdeploy-loading-") as generated:
        write_trees(Path(generated))
        for name in given.names or CASES:
            case, recipe = CASES[name], recipe_of(name, CASES[name])
            own = name in ("imagenet", "voc2012")
            folder = Path(generated) if own else given.data
            loaded = loading_rate(recipe, folder)
            trained = training_rate(recipe, folder, case.step)
            peer = f"training step of {case.title}"
            rows.append(row(name, "images loaded by a core", loaded, "images/s", peer, trained))
            print(
                f"{name}: {loaded:,.0f} images/s loaded, {trained:,.1f} trained "
                f"({case.title}), {loaded / trained:,.1f} times",
                flush=True,
            )
    if not given.names:
        print(f"written: {save('loading', rows)}")


if __name__ == "__main__":
    main()
