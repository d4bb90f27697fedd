"""Batches of data sets that are read from files by worker processes."""

import gc
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from data_trees import write_imagenet, write_voc

from qdeploy.data.load import load_dataset
from qdeploy.data.stream import FileSplit, _begin, stream
from qdeploy.errors import DataError
from qdeploy.networks.sections import ResnetNetwork
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import (
    WHOLE,
    Batching,
    Shard,
    evaluation_batches,
    sample,
    training_batches,
)
from qdeploy.training.train import train


@pytest.fixture
def root(tmp_path) -> Path:
    write_imagenet(tmp_path, classes=3, train=7)
    write_voc(tmp_path)
    return tmp_path


def imagenet(recipe: Recipe, **options: object) -> Recipe:
    data = {
        "name": "imagenet",
        "image_size": 16,
        "classes": 3,
        "batch_size": 4,
        "augment": "resized-crop-flip",
        "workers": 0,
        **options,
    }
    return Recipe.model_validate({**recipe.model_dump(), "data": data})


def epoch(recipe: Recipe, root: Path, shard: Shard = WHOLE, **options: int):
    data = load_dataset(recipe.data, root)
    batching = Batching.of(recipe).during(recipe.phases[1])
    return list(training_batches(data, batching, 1, 2, shard, **options))


def mixing(recipe: Recipe) -> Recipe:
    """The recipe with holes and mixtures in its second phase."""
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1] = {**phases[1], "cutout": 5, "mixup": 1.0}
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases})


def same(some, others) -> bool:
    return len(some) == len(others) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_bits(recipe, root, workers):
    recipe = mixing(recipe)
    here = epoch(imagenet(recipe), root)
    assert len(here) == 5
    assert here[0][0].shape == (4, 3, 16, 16)
    assert here[0][0].is_contiguous(memory_format=torch.channels_last)
    assert same(epoch(imagenet(recipe, workers=workers), root), here)
    assert not same(epoch(imagenet(recipe).model_copy(update={"seed": 1}), root), here)


def test_batches_arrive_where_temporary_files_have_long_names(recipe, root, tmp_path, monkeypatch):
    here = epoch(imagenet(recipe), root)
    deep = tmp_path / ("long" * 25)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    assert same(epoch(imagenet(recipe, workers=1), root), here)
    monkeypatch.setattr("qdeploy.data.stream._SHORT", ())
    with pytest.raises(DataError, match="too long a name for sockets"):
        epoch(imagenet(recipe, workers=1), root)


@pytest.mark.parametrize(("alive", "code"), [(True, 0), (False, 1)])
def test_a_worker_that_begins_after_its_training_was_killed_ends(alive, code):
    training = os.getpid() if alive else os.getppid()
    worker = multiprocessing.get_context("fork").Process(target=_begin, args=(training, 0))
    worker.start()
    worker.join(30)
    assert worker.exitcode == code


@pytest.mark.parametrize("change", [imagenet, lambda recipe: mixing(imagenet(recipe))])
def test_the_ranks_batches_together_are_those_of_one_process(recipe, root, change):
    recipe = change(recipe)
    ranks = [epoch(recipe, root, Shard(rank, 2)) for rank in range(2)]
    joined = [(torch.cat([x, u]), torch.cat([y, v])) for (x, y), (u, v) in zip(*ranks, strict=True)]
    assert same(joined, epoch(recipe, root))


def test_an_epoch_goes_on_at_any_step_with_the_same_bits(recipe, root):
    recipe = mixing(imagenet(recipe, workers=1))
    assert same(epoch(recipe, root, first_step=3), epoch(recipe, root)[3:])


def test_loading_leaves_the_global_random_state_alone(recipe, root):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    epoch(imagenet(recipe, workers=1), root)
    assert torch.equal(torch.get_rng_state(), before)


def test_test_images_come_in_order_and_are_not_augmented(recipe, root):
    recipe = imagenet(recipe, workers=2)
    data = load_dataset(recipe.data, root)
    batches = list(evaluation_batches(data, Batching.of(recipe), size=4))
    images, labels = data.test.read(range(6))
    assert torch.equal(torch.cat([y for _, y in batches]), labels)
    assert torch.equal(torch.cat([x for x, _ in batches]) * 256, images.float())


def test_a_data_set_that_cannot_be_moved_to_the_device_is_refused(recipe, root, tmp_path):
    wanted = imagenet(recipe, on_device="yes")
    wanted = wanted.model_copy(
        update={"network": ResnetNetwork(type="resnet", depth=8, width=8)},
    )
    with pytest.raises(DataError, match="`imagenet` cannot be moved to the device"):
        train(wanted, tmp_path / "run", root)
    assert not (tmp_path / "run").exists()


def test_calibration_draws_without_loading_the_whole_set(recipe, root):
    data = load_dataset(imagenet(recipe).data, root)
    drawn, _ = sample(data.train, 8, 5, torch.Generator().manual_seed(0))
    assert drawn.shape == (5, 3, 16, 16)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named_from_a_worker_too(recipe, root, workers):
    path = root / "imagenet" / "train" / "n01440765" / "n01440765_1.JPEG"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        epoch(imagenet(recipe, workers=workers, batch_size=21), root)
    assert "`n01440765_1.JPEG` of ImageNet is damaged" in caught.value.what
    assert caught.value.where == str(path)


class Dies(FileSplit):
    shape = (3, 4, 4)

    def __len__(self) -> int:
        return 8

    def item(self, index, generator):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(3, 4, 4, dtype=torch.uint8), torch.tensor(0)


class Damaged(Dies):
    def item(self, index, generator):
        raise DataError("damaged")


def test_a_killed_worker_stops_the_run_with_what_to_look_at():
    with pytest.raises(DataError, match="a process that decodes images was killed") as caught:
        list(stream(Dies(), [[(index, None)] for index in range(8)], workers=1))
    assert "data.workers" in (caught.value.do or "")
    assert caught.value.why
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def lose_an_iterator() -> None:
    """Leave an iterator with idle workers to the garbage collector: an error that is kept holds the
    frame that keeps it."""
    with pytest.raises(DataError) as caught:
        list(stream(Damaged(), [[(0, None)]], workers=3))
    assert caught.value.what == "damaged"


def test_workers_that_never_got_an_index_close_no_file_of_others():
    """Their pipes are closed once: the file numbers may belong to somebody else by then."""
    failures: list[object] = []
    before = threading.excepthook
    threading.excepthook = failures.append  # type: ignore[assignment]
    try:
        for _ in range(3):
            lose_an_iterator()
            gc.collect()
        for thread in threading.enumerate():
            if thread.name == "QueueFeederThread":
                thread.join(10)
    finally:
        threading.excepthook = before
    assert not failures


def test_voc_batches_have_a_label_for_every_pixel(recipe, root):
    data = {
        "name": "voc2012",
        "image_size": 32,
        "batch_size": 2,
        "augment": "scale-crop-flip",
        "partial": True,
    }
    two = {**data, "workers": 2}
    wanted = epoch(
        Recipe.model_validate({**recipe.model_dump(), "data": {**data, "workers": 0}}), root
    )
    assert [tuple(y.shape) for _, y in wanted] == [(2, 32, 32)] * 3
    assert wanted[0][1].dtype == torch.int64
    assert same(epoch(Recipe.model_validate({**recipe.model_dump(), "data": two}), root), wanted)
