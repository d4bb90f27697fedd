"""`qdeploy init`: a commented recipe for data of one's own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.progress import PRINTING
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from qdeploy.data.own.look import Look

# Of a map, below which convolutions have nothing to look at; of the layers that halve it, the end.
LEAST_SIDE = 8
SEGMENTATION_BATCH = 8  # images with a class for each pixel
_SEGMENTATION = """\
network:
  type: deeplab          # a class for each pixel, on MobileNetV2's features
  multiplier: 0.35
  output_stride: 8
  top_channels: 64
  stages:
    - {expansion: 1, channels: 16, blocks: 1}
    - {expansion: 6, channels: 24, blocks: 2, stride: 2}
    - {expansion: 6, channels: 32, blocks: 2, stride: 2}
    - {expansion: 6, channels: 64, blocks: 2}
"""
_RECIPE = """\
# Written by `qdeploy init`; yours to change. docs/recipes.md lists every key.
{seen}
name: {name}
seed: 0

{network}
quantization:
  weight_bits: 2           # of the inner layers; `qdeploy sweep` shows what 3 or 4 would take
  activation_bits: 2
  first_layer_bits: 8      # the first and the last layer are small and sensitive
  last_layer_bits: 8

data:
{data}

training:
  threads: 1               # small networks are fastest so; remove it for large ones

# `qdeploy train --set training.epochs=1` is a quick try of all phases.
phases:
  - name: float            # full precision first: what quantization is measured against
    kind: pretrain
    epochs: {epochs}
    optimizer: {{lr: {lr}, weight_decay: 5.0e-4}}
    schedule: {{type: cosine}}
  - name: retrain          # quantized, with noise limited (Lipschitz)
    kind: retrain
    epochs: {epochs}
    optimizer: {{lr: {low}}}
    schedule: {{type: cosine}}
    lipschitz: 1.0e-4
"""


@click.command()
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Recipe [NAME.yaml].")
@click.option("--name", help="Name of runs and builds [that of DATA].")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path),
    envvar="QDEPLOY_DATA",
    help="Folder that a relative DATA is below; default the variable QDEPLOY_DATA.",
)
@click.option("--force", is_flag=True, help="Replace the file.")
def init(
    source: Path, out: Path | None, name: str | None, folder: Path | None, force: bool
) -> None:
    """Write a recipe for DATA: a folder of images or wav files by class, of images and masks, or of
    parquet files; a CSV file, an .npz, or an .npy with labels beside it.

    It looks at the data and fills in what it sees; `qdeploy train` takes the recipe as it is.
    """
    from qdeploy.artifacts import write_text
    from qdeploy.data.own.facts import with_facts
    from qdeploy.data.own.look import look
    from qdeploy.networks.from_recipe import build_network
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.recipe.models import NAME_PATTERN

    chosen = name or re.sub(r"[^A-Za-z0-9._-]+", "_", source.resolve().stem).lstrip("._-") or "mine"
    if re.match(NAME_PATTERN, chosen) is None:
        raise UserError(
            f"`{chosen}` is no name for runs and builds",
            where="--name",
            do="begin it with a letter or digit, and use letters, digits, `.`, `_` and `-`",
        )
    target = Path(f"{chosen}.yaml") if out is None else out
    if target.exists() and not force:
        raise UserError(
            f"`{target}` exists already", do="give --out FILE, or --force to replace it"
        )
    found = look(source, folder, PRINTING)
    text = recipe_text(chosen, found)
    before = target.read_text(encoding="utf-8") if target.exists() else None
    write_text(target, text)
    try:
        recipe = load_recipe(target)
        build_network(with_facts(recipe, folder, dataset=found.dataset), quantized=True)
    except BaseException:
        if before is None:
            target.unlink()
        else:
            write_text(target, before)
        raise
    for line in _seen(found):
        click.echo(line)
    words = ["--data", str(folder)] if folder is not None else []
    click.echo(
        f"{target} is written. next: {shlex.join(['qdeploy', 'train', str(target), *words])}"
    )


def recipe_text(name: str, found: Look) -> str:
    """The recipe as YAML with comments."""
    count = len(found.dataset.train)
    batch = next(size for size in (128, 64, 32, 16) if size == 16 or 20 * size <= count)
    pixels = found.dataset.task == "segmentation"
    batch = SEGMENTATION_BATCH if pixels else batch
    section = {**found.section, "batch_size": batch}
    comments = {
        "path": "below --data or QDEPLOY_DATA, else below the working folder",
        "image_size": "images differ in size: all are brought to this square",
        "resize": "crop, pad or squash",
        "task": "the labels are numbers to predict",
        "label": "column of the labels",
        "length": "samples of a window",
        "log_mel": "the spectrum of each window, in decibels",
    }
    lines = [_line(key, value, comments.get(key)) for key, value in section.items()]
    lines.append(_line("validation", 0.1, "share that chooses the epoch which is kept"))
    regression = section.get("task") == "regression"
    return _RECIPE.format(
        name=name,
        seen="\n".join(f"# {line}" for line in _seen(found)),
        network=_SEGMENTATION if pixels else _network(found.dataset.shape),
        data="\n".join(lines),
        epochs=min(60, max(20, 100_000 // max(count, 1))),
        lr="0.01" if regression else "0.05",
        low="0.003" if regression else "0.01",
    )


def _line(key: str, value: Any, comment: str | None) -> str:
    text = f"  {key}: {json.dumps(value, ensure_ascii=False)}"
    return text if comment is None else f"{text:<26} # {comment}"


def _network(shape: Sequence[int]) -> str:
    """Convolutions for maps, halved while they are large; fully connected layers for the rest."""
    _, height, width = shape
    side = min(height, width)
    if side < LEAST_SIDE:
        return (
            "network:\n  type: fcdnn            # fully connected layers\n  width: 64\n  depth: 3\n"
        )
    lines = ["network:", "  type: convnet          # convolutions, then fully connected layers"]
    lines.append("  stages:")
    channels = 16
    while side >= LEAST_SIDE or channels == 16:
        lines.append(f"    - {{channels: {channels}, kernel: 3, pool: 2}}")
        side, channels = side // 2, min(64, channels * 2)
    return "\n".join([*lines, "  hidden: [64]", ""])


def _seen(found: Look) -> list[str]:
    dataset = found.dataset
    shape = "x".join(map(str, dataset.shape))
    what = (
        "numbers to predict"
        if found.section.get("task") == "regression"
        else f"{len(dataset.classes)} classes: {_few(dataset.classes)}"
    )
    first = f"{len(dataset.train):,} frames of {shape} to train on, {len(dataset.test):,} to test"
    return [" ".join(line.split()) for line in (f"{first}; {what}", *found.seen)]


def _few(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(map(str, names[:most])) + (", …" if len(names) > most else "")
