"""Order and augmentation of training images, a function of seed, phase and epoch alone.

Nothing is carried from epoch to epoch, so a resumed run sees the same batches as an unbroken one.
With several processes, step s of all ranks together is step s of a single process, image by image
and with the same augmentation. A batch has `Batching.parts` equal parts, one pass through the
network each, and rank r takes the r-th of `world` equal shares of every part: batch norm sees the
same images together however many processes there are.

Holes and mixtures (`data.mixing`) come last, with random numbers of their own for every step: crops
are the same with and without them, and neither processes that decode nor steps left out matter.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from qdeploy.data.augment import Augmentation, Crop, ScaleCropFlip
from qdeploy.data.dataset import Dataset, MemorySplit, Split, network_input
from qdeploy.data.jitter import ColourJitter
from qdeploy.data.mixing import Cutout, Mixup
from qdeploy.data.stream import FileSplit, Wanted, stream
from qdeploy.data.varied import Varied
from qdeploy.errors import RecipeError
from qdeploy.recipe.data import Augment
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.recipe.transforms import Jitter, Transforms
from qdeploy.training.blocks import in_blocks

TEST_BATCH = 500
MIDDLE = 128  # byte of code 0 of signed codes


@dataclass(frozen=True)
class Shard:
    """Which of `world` processes this one is: rank 0 .. world - 1."""

    rank: int = 0
    world: int = 1


WHOLE = Shard()


@dataclass(frozen=True)
class Batching:
    """What decides the batches of a data set, besides phase and epoch.

    Args:
        batch_size: images per training step, of all processes together.
        parts: passes through the network per training step.
        augment: how training images are changed.
        crop_padding: pixels of `blank` on each side before cropping or shifting.
        blank: byte of padding and holes; that of code 0.
        transforms: how far `standard` goes; None is as far as by default.
        jitter: of light and colours; None is none.
        cutout: side of a hole in every image, in pixels; 0 is none.
        mixup: α of mixtures of two images; 0 is none.
        input_bits: upper bits of each byte that the network reads, 1 to 8.
        seed: of order and augmentation.
        balanced: whether an epoch has as many images of each class, some of them several times.
        decoders: processes per training process that decode files; None is one per core, shared
            among the training processes of a machine.
    """

    batch_size: int
    parts: int = 1
    augment: Augment = "none"
    crop_padding: int = 0
    blank: int = 0
    transforms: Transforms | None = None
    jitter: Jitter | None = None
    cutout: int = 0
    mixup: float = 0.0
    input_bits: int = 8
    seed: int = 0
    decoders: int | None = None
    balanced: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Batching:
        """What a recipe says about it."""
        return cls(
            batch_size=recipe.data.batch_size,
            parts=recipe.training.accumulate,
            augment=recipe.data.augment,
            crop_padding=recipe.data.crop_padding,
            blank=MIDDLE if recipe.data.signed_codes else 0,
            transforms=getattr(recipe.data, "transforms", None),
            jitter=recipe.data.jitter,
            input_bits=recipe.quantization.input_bits,
            seed=recipe.seed,
            decoders=recipe.data.workers,
            balanced=recipe.data.sampling == "balanced",
        )

    def during(self, phase: Phase) -> Batching:
        """With what a phase adds."""
        return replace(self, cutout=phase.cutout, mixup=phase.mixup)


def epoch_generator(seed: int, phase: int, epoch: int) -> torch.Generator:
    """The generator of one epoch; phase and epoch count from 0."""
    return torch.Generator().manual_seed(_number(f"{seed}/{phase}/{epoch}"))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps in an epoch: an incomplete last batch is left out, unless it is the only one.

    The number is the same for every rank, since `batch_size` counts the images of all of them.
    """
    return max(1, images // batch_size)


def training_batches(
    dataset: Dataset,
    batching: Batching,
    phase: int,
    epoch: int,
    shard: Shard = WHOLE,
    first_step: int = 0,
    device: torch.device | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled, augmented batches of one epoch, or one rank's part of them.

    `batch_size` is the global batch: each of `steps_per_epoch` steps takes the next `batch_size`
    images of one permutation, drawn from seed, phase and epoch, or of `balanced_order`. Of each of
    its A = `parts` parts, rank r gets images [r · n, (r + 1) · n), n = batch_size / (A · world),
    one part after the other. So shards are disjoint, equally long, and together the batches of a
    single process. The same arguments give the same bits, whatever the number of processes that
    decode.

    Args:
        phase, epoch: from 0.
        shard: of data-parallel training.
        first_step: steps of the epoch to leave out, for resuming inside it.
        device: where the batches go; default where the data set lies.

    Yields:
        Float input (n, C, H, W) in channels-last memory, and int64 labels, (n,) or, for
        segmentation, (n, H, W); with mixup float32 shares of the classes, (n, classes).

    Raises:
        RecipeError: when the batch cannot be divided among parts and processes.
        DataError: when a file cannot be read.
    """
    split, size = dataset.train, batching.batch_size
    check_shards(batching, shard.world, len(split))
    count = min(size, len(split))
    places = _places(count, batching.parts, shard)
    generator = epoch_generator(batching.seed, phase, epoch)
    order = epoch_order(split, batching, generator)
    steps = steps_per_epoch(len(split), size)
    key = f"{batching.seed}/{phase}/{epoch}"
    if isinstance(split, MemorySplit):
        chosen = [order[step * size : (step + 1) * size] for step in range(steps)]
        change = augmentation(dataset, batching)
        if type(change) in (type(None), Crop) and not _mixing(dataset, batching):
            raw = in_blocks(split, chosen, places, change, generator, first_step)
            for images, labels in raw:
                images, labels = _moved(images, labels, device)
                made = prepared(images, batching.input_bits).split(len(places))
                yield from zip(made, _wide(labels).split(len(places)), strict=True)
            return
        raw = in_blocks(split, chosen, places, change, generator, first_step, pixels=0)
    else:
        assert isinstance(split, FileSplit)
        wanted = (
            _wanted(order, key, [step * size + place for place in places])
            for step in range(first_step, steps)
        )
        raw = stream(split, wanted, _decoders(batching, shard))
    last = _mixing(dataset, batching)
    for step, (images, labels) in enumerate(raw, first_step):
        images, labels = _moved(images, labels, device)
        for name, change in last.items():
            own = torch.Generator().manual_seed(_number(f"{key}/{name}/{step}"))
            draws = tuple(values[places] for values in change.draw(count, own))
            images, labels = change.apply(images, labels, draws)
        yield prepared(images, batching.input_bits), _wide(labels)


def epoch_order(split: Split, batching: Batching, generator: torch.Generator) -> torch.Tensor:
    """The images of an epoch with that `epoch_generator`, int64 (N,): all of them once, or as many
    of each class."""
    labels = split.image_labels() if batching.balanced else None
    if labels is None:
        return torch.randperm(len(split), generator=generator)
    return balanced_order(labels.cpu(), generator)


def balanced_order(labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images with `labels`, (N,), in an order of the same length in which K in a row are of the K
    classes that occur. Images of a small class come again and again, each as often as the others,
    or once more."""
    names = labels.unique()
    rounds = -(-len(labels) // len(names))
    columns = []
    for name in names:
        members = (labels == name).nonzero().flatten()
        turns = [
            members[torch.randperm(len(members), generator=generator)]
            for _ in range(-(-rounds // len(members)))
        ]
        columns.append(torch.cat(turns)[:rounds])
    mixed = torch.rand(rounds, len(names), generator=generator).argsort(1)
    return torch.stack(columns, 1).gather(1, mixed).flatten()[: len(labels)]


def evaluation_batches(
    dataset: Dataset,
    batching: Batching,
    shard: Shard = WHOLE,
    device: torch.device | None = None,
    size: int = TEST_BATCH,
    split: Split | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The images of a `split`, by default the test set, in order, as `training_batches` gives them;
    rank r gets every `world`-th batch from the r-th on, so that all ranks together see each image
    once."""
    split = dataset.test if split is None else split
    if dataset.task == "segmentation":
        size = max(1, size // 25)  # there are logits for every pixel
    starts = range(shard.rank * size, len(split), shard.world * size)
    chosen = [range(start, min(start + size, len(split))) for start in starts]
    if isinstance(split, MemorySplit):
        raw: Iterator[tuple[torch.Tensor, torch.Tensor]] = (
            (split.images[part.start : part.stop], split.labels[part.start : part.stop])
            for part in chosen
        )
    else:
        assert isinstance(split, FileSplit)
        whole = ([(index, None) for index in part] for part in chosen)
        raw = stream(split, whole, _decoders(batching, shard))
    for images, labels in raw:
        images, labels = _moved(images, labels, device)
        yield prepared(images, batching.input_bits), _wide(labels)


def sample(
    split: Split, input_bits: int, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Network input of up to `count` images, drawn without replacement and not augmented, and
    their labels, int64, or float32 for regression."""
    chosen = torch.randperm(len(split), generator=generator)[:count]
    images, labels = split.read(chosen.tolist())
    return prepared(images, input_bits), _wide(labels)


def check_shards(batching: Batching, world: int, images: int) -> None:
    """Refuse a global batch that `world` processes cannot share equally, part by part.

    Args:
        images: in the training set; a set smaller than a batch is one batch.

    Raises:
        RecipeError: naming the numbers.
    """
    size, parts = batching.batch_size, batching.parts
    if size % (world * parts):
        by = f"{world} processes" if world > 1 else ""
        by += f"{' in ' if by else ''}{parts} parts" if parts > 1 else ""
        raise RecipeError(
            f"a batch of {size} images cannot be shared equally by {by}",
            where="data.batch_size" if parts == 1 else "training.accumulate",
            why="`data.batch_size` is the number of images per step, of all processes together",
            do=f"choose a batch that is a multiple of {world * parts}",
        )
    whole = min(size, images)
    if (parts > 1 and whole // parts < 2) or whole < world * parts:
        raise RecipeError(
            f"{whole} images per step are too few for {parts} parts and {world} processes",
            where="training.accumulate" if parts > 1 else "data.batch_size",
            why="batch norm needs at least two images per part, and each process one of them",
            do="choose fewer parts, or a larger batch",
        )
    share = whole // (parts * world)
    if batching.mixup and share % 2:
        raise RecipeError(
            f"mixup cannot pair the {share:,} images that a process takes of "
            + ("a batch at once" if parts == 1 else f"each of {parts} parts of a batch"),
            where="phases.mixup",
            why="images are mixed two by two",
            do="choose data.batch_size, training.accumulate and the number of processes so that "
            "this is an even number, or set mixup to 0",
        )


def augmentation(dataset: Dataset, batching: Batching) -> Augmentation | None:
    """How a data set in memory is augmented; one read from files is augmented while decoding."""
    padding = batching.crop_padding
    if batching.augment in ("crop", "crop-flip"):
        return Crop(padding, padding, batching.augment == "crop-flip", batching.blank)
    if batching.augment == "standard":
        return Varied(batching.transforms or Transforms(), padding)
    if batching.augment == "shift":
        return Crop(0, padding, False, batching.blank)
    if batching.augment == "scale-crop-flip":
        _, height, width = dataset.shape
        assert dataset.void is not None
        return ScaleCropFlip(height, width, dataset.void)
    return None


def _mixing(dataset: Dataset, batching: Batching) -> dict[str, Augmentation]:
    """What changes whole batches, by the name that its random numbers belong to."""
    changes: dict[str, Augmentation] = {}
    if batching.jitter is not None:
        changes["jitter"] = ColourJitter(batching.jitter)
    if batching.cutout:
        changes["cutout"] = Cutout(batching.cutout, dataset.void, batching.blank)
    if batching.mixup:
        changes["mixup"] = Mixup(batching.mixup, len(dataset.classes))
    return changes


def prepared(images: torch.Tensor, input_bits: int) -> torch.Tensor:
    """Raw bytes as network input, in the memory format in which convolutions are fastest."""
    # Arranged as bytes, which are a quarter of the floats.
    return network_input(images.contiguous(memory_format=torch.channels_last), input_bits)


def _places(count: int, parts: int, shard: Shard) -> list[int]:
    """One rank's places in a batch of `count` images that goes through the network in `parts`;
    what a data set smaller than its batch has beyond equal shares is left out."""
    share = count // (parts * shard.world)
    first = [(part * shard.world + shard.rank) * share for part in range(parts)]
    return [place for start in first for place in range(start, start + share)]


def _wanted(order: torch.Tensor, key: str, places: list[int]) -> list[Wanted]:
    return [(int(order[place]), _number(f"{key}/{place}")) for place in places]


def _decoders(batching: Batching, shard: Shard) -> int:
    if batching.decoders is None:
        return max(1, len(os.sched_getaffinity(0)) // shard.world)
    return batching.decoders


def _moved(
    images: torch.Tensor, labels: torch.Tensor, device: torch.device | None
) -> tuple[torch.Tensor, torch.Tensor]:
    # Bytes travel to the device, not floats: a quarter of the traffic.
    if device is not None:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    return images, labels


def _wide(labels: torch.Tensor) -> torch.Tensor:
    return labels if labels.is_floating_point() else labels.to(torch.int64)


def _number(key: str) -> int:
    """A number below 2**56 that belongs to a key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
