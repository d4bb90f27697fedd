"""The frames a build is verified with: real test frames of the data set, or random codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qdeploy.artifacts import atomic_path
from qdeploy.build_folder import FRAMES_FILE
from qdeploy.errors import InternalError, UserError, VerificationError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.npz import read_npz

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset


# Types of stored frames, narrow ones first.
_KINDS = (np.uint8, np.int8, np.uint16, np.int16, np.int32)


@dataclass(frozen=True)
class Frames:
    """Input frames of a build.

    Args:
        codes: (frames, *input shape), what the accelerator gets.
        raw: integers as the data set has them, or as the driver takes them for a network from a
            file: (frames, *shape in the file).
        labels: (frames,), -1 where unknown.
        source: one sentence: where they come from.
        tested: how many of them, from the first on, are the test set an accuracy counts.
        masks: (tested frames, H, W) a class for each pixel, None where frames have one each.
        void: class of pixels that do not count, None where all do.
        random: whether they are drawn by chance.
        targets: (tested frames, targets) the numbers to predict, in their units; None where frames
            have classes.
    """

    codes: npt.NDArray[np.int64]
    raw: npt.NDArray[np.integer]
    labels: npt.NDArray[np.int64]
    source: str
    tested: int = 0
    masks: npt.NDArray[np.int64] | None = None
    void: int | None = None
    random: bool = False
    targets: npt.NDArray[np.float64] | None = None

    def first(self, count: int) -> Frames:
        """The first `count` frames."""
        tested = min(count, self.tested)
        masks = None if self.masks is None else self.masks[:count]
        return Frames(
            self.codes[:count],
            self.raw[:count],
            self.labels[:count],
            self.source,
            tested,
            masks,
            self.void,
            self.random,
            None if self.targets is None else self.targets[:count],
        )

    def ordered(self, order: npt.NDArray[np.int64]) -> Frames:
        """The same frames in another order.

        Args:
            order: where each of the first len(order) frames comes from; those after them stay. What
                is tested stays together: no frame of the test set changes places with another one.
        """
        whole = np.concatenate([order, np.arange(len(order), len(self.codes))])
        if self.tested and len(order) > self.tested:
            raise InternalError("frames of the test set would change places with others")
        return replace(
            self,
            codes=self.codes[whole],
            raw=self.raw[whole],
            labels=self.labels[whole],
            masks=None if self.masks is None else self.masks[whole[: len(self.masks)]],
            targets=None if self.targets is None else self.targets[whole[: len(self.targets)]],
        )


def frames_of_dataset(dataset: Dataset, input_bits: int, count: int, name: str) -> Frames:
    """The test set as codes: the upper `input_bits` bits of each uint8 value, or for real values
    the codes that they have.

    A test set smaller than `count` is followed by frames of the training set, which verify
    arithmetic as well; they do not count for accuracy. Of a test set that is not in memory, `count`
    frames spread evenly over it are taken. Masks and numbers to predict are not labels of a frame,
    and kept apart.
    """
    from qdeploy.data.dataset import MemorySplit

    if isinstance(dataset.test, MemorySplit):
        images, labels = dataset.test_images.numpy(), dataset.test_labels.numpy()
        source = f"test set of {name}"
    else:
        chosen = np.linspace(0, len(dataset.test) - 1, min(count, len(dataset.test))).astype(int)
        images, labels = (tensor.numpy() for tensor in dataset.test.read(chosen.tolist()))
        source = f"{len(chosen):,} frames spread over the test set of {name}"
    tested, masks, targets = len(images), None, None
    if dataset.task == "segmentation":
        masks = labels.astype(np.int64)
    if dataset.targets is not None:
        targets = dataset.targets.real(labels)
    if tested < count:
        more = range(min(count - tested, len(dataset.train)))
        further = [tensor.numpy() for tensor in dataset.train.read(more)]
        images, labels = np.concatenate([images, further[0]]), np.concatenate([labels, further[1]])
        source += ", then its training set"
    if dataset.task != "classification":
        labels = np.full(len(images), -1)
    codes = (images >> (8 - input_bits)).astype(np.int64)
    raw: npt.NDArray[np.integer] = images
    if dataset.scaling is not None:
        codes += dataset.scaling.lowest
        raw = narrowed(codes)
    return Frames(
        codes,
        raw,
        labels.astype(np.int64),
        source,
        tested,
        masks,
        dataset.void,
        targets=targets,
    )


def frames_of_random_codes(graph: IntegerGraph, count: int, seed: int) -> Frames:
    """Uniformly random frames, for a file without a data set: raw integers where the file says what
    they are, else codes, of those that occur."""
    prepared, random = graph.prepared, np.random.default_rng(seed)
    low, high = prepared.integer_range
    raw = random.integers(low, high + 1, (count, *prepared.shape), dtype=np.int64)
    if prepared.raw is None and not prepared.reachable.all():
        raw = prepared.nearest_reachable(raw)
    labels = np.full(count, -1, dtype=np.int64)
    kind = "codes" if prepared.raw is None else f"{prepared.raw.name} values"
    codes = prepared.codes_of_integers(raw).astype(np.int64)
    source = f"uniformly random {kind}, seed {seed}"
    return Frames(codes, narrowed(raw), labels, source, random=True)


def narrowed(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The same integers in the narrowest type that holds them all."""
    lo, hi = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    fitting = (kind for kind in _KINDS if np.iinfo(kind).min <= lo and hi <= np.iinfo(kind).max)
    return codes.astype(next(fitting, np.int64))


def _made_of(frames: Frames, graph: IntegerGraph) -> bool:
    """Whether the codes are those of the raw values, where the graph says how they are made."""
    found, raw = graph.preparation, frames.raw
    if found is None:
        return True
    low, high = found.integer_range
    if raw.shape[1:] != found.shape or int(raw.min()) < low or int(raw.max()) > high:
        return False
    return np.array_equal(found.codes_of_integers(raw), frames.codes)


def save_frames(folder: Path, frames: Frames) -> None:
    """Write `frames.npz` into a build folder."""
    with atomic_path(folder / FRAMES_FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            codes=narrowed(frames.codes),
            raw=frames.raw,
            labels=frames.labels,
            source=np.array(frames.source),
            tested=np.array(frames.tested),
        )


def load_frames(folder: Path) -> Frames:
    """Read `frames.npz` of a build folder.

    Raises:
        UserError: it is missing or damaged.
    """
    path = folder / FRAMES_FILE
    try:
        names = ("codes", "raw", "labels", "source", "tested")
        codes, raw, labels, source, tested = read_npz(path, names)
        for array in (codes, raw, labels, tested):
            if array.dtype.kind not in "iu" or (array is not tested and not array.ndim):
                raise ValueError("its frames are no arrays of integers")
        if tested.shape or tested < 0:
            raise ValueError("it does not say how many frames are of the test set")
        return Frames(codes.astype(np.int64), raw, labels, str(source), int(tested))
    except (OSError, ValueError) as error:
        raise UserError(
            f"the build `{folder}` has no readable frames",
            where=str(path),
            why=str(error),
            do="run `qdeploy export` again",
        ) from error


def check_frames(folder: Path, frames: Frames, graph: IntegerGraph) -> None:
    """Whether the frames of a build are frames of its network, whatever digests say.

    Raises:
        VerificationError: there are none, they are all zero, or their shape or a code is not the
            input's.
    """
    source, codes = graph.tensors[graph.input], frames.codes
    if not len(codes):
        problem = "there are none"
    elif codes.shape[1:] != source.shape:
        problem = f"their shape is {codes.shape[1:]}, that of the network's input {source.shape}"
    elif len(frames.raw) != len(codes) or len(frames.labels) != len(codes):
        problem = f"{len(codes)} of codes, {len(frames.raw)} raw, {len(frames.labels)} labels"
    elif int(codes.min()) < source.lo or int(codes.max()) > source.hi:
        problem = (
            f"their codes go from {codes.min()} to {codes.max()}, those of the network's input "
            f"from {source.lo} to {source.hi}"
        )
    elif not _made_of(frames, graph):
        problem = "their codes are not those of their raw values"
    elif not codes.any() and source.lo < source.hi:
        problem = "every code is zero, which verifies next to nothing"
    else:
        return
    raise VerificationError(
        f"`{FRAMES_FILE}` of the build `{folder}` does not hold frames of its network: {problem}",
        where=str(folder / FRAMES_FILE),
        do="put the file back, or run `qdeploy export` again",
    )
