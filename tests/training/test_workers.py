"""Data-parallel training: one curve whatever the number of processes, and lost processes."""

import signal
from pathlib import Path

import pytest
import torch
from processes import PATIENCE, finish, start, torchrun, wait_for
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import save_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.training.global_norm import GlobalBatchNorm, share_statistics
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import load_run
from qdeploy.training.train import train

KEYS = ("loss", "lipschitz", "train_accuracy", "accuracy")
# Sums of other order differ in their last bits. Within the first epoch they stay there; after that
# a max-pool or a quantizer decides the other way for single pixels, and training goes on from
# there: initial weights changed by a millionth move later losses of these runs by up to 5 % and
# their accuracies by up to 9 %.
FIRST_EPOCH, LATER = 1e-5, 0.15


@pytest.fixture
def parallel(recipe) -> Recipe:
    """Convolutions and fully connected layers, all kinds of phases."""
    float_, retrain, _ = [phase.model_dump() for phase in recipe.phases]
    stages = [{"channels": 6, "stride": 2}, {"channels": 8}]
    changes = {
        "network": {"type": "convnet", "stages": stages, "hidden": [16]},
        "phases": [
            {
                **float_,
                "optimizer": {"lr": 0.05, "weight_decay": 5e-4, "nesterov": True},
                "clip_norm": 0.5,
                "loss": {"label_smoothing": 0.1, "class_weights": [0.5, *[1.0] * 8, 3.0]},
                "cutout": 3,
                "mixup": 0.4,
            },
            {"name": "direct", "kind": "direct"},
            {"name": "norms", "kind": "recalibrate", "images": 640},
            {**retrain, "epochs": 2, "ema": 0.9},
        ],
    }
    return Recipe.model_validate({**recipe.model_dump(), **changes})


def words(recipe: Recipe, folder: Path, *more: str) -> tuple[str, ...]:
    path = folder.parent / "recipe.yaml"
    save_recipe(recipe, path)
    return ("train", str(path), "--out", str(folder), *more)


def curves(folder: Path) -> list[list[float]]:
    return [[getattr(row, key) for key in KEYS] for row in read_metrics(folder)]


def assert_same_curve(one: Path, other: Path) -> None:
    assert [(r.phase, r.epoch) for r in read_metrics(one)] == [
        (r.phase, r.epoch) for r in read_metrics(other)
    ]
    (first, *later), (second, *others) = curves(one), curves(other)
    assert first == pytest.approx(second, rel=FIRST_EPOCH)
    for row, same in zip(later, others, strict=True):
        assert row == pytest.approx(same, rel=LATER, abs=LATER)


def test_two_processes_give_the_curve_of_one(parallel, tmp_path):
    alone = train(parallel, tmp_path / "alone")
    both = tmp_path / "both"
    results = finish(start(2, *words(parallel, both)))
    assert [code for code, _ in results] == [0, 0], results
    assert_same_curve(alone, both)
    assert load_run(both).summary["accuracy"] == pytest.approx(
        load_run(alone).summary["accuracy"], abs=LATER
    )
    assert "float 1/2" in results[0][1]
    assert "float 1/2" not in results[1][1]


def test_two_processes_end_a_phase_at_the_same_epoch(parallel, tmp_path):
    values = parallel.model_dump()
    values["data"]["validation"] = 0.2
    values["phases"][0].update(epochs=40, patience=1)
    both = tmp_path / "both"
    results = finish(start(2, *words(Recipe.model_validate(values), both)))
    assert [code for code, _ in results] == [0, 0], results
    figures = [row.validation_accuracy for row in read_metrics(both) if row.phase_index == 0]
    assert len(figures) < 40
    assert figures[-1] < max(figures) == figures[-2]


def test_torchrun_with_parts_of_a_batch_gives_the_curve_of_one_process(parallel, tmp_path):
    """Batch norm sees a part at a time: it has to be the same part."""
    training = {"threads": 1, "accumulate": 4, "epochs": 1}
    parts = Recipe.model_validate({**parallel.model_dump(), "training": training})
    alone = train(parts, tmp_path / "alone")
    both = tmp_path / "both"
    ((code, errors),) = finish([torchrun(2, *words(parts, both))])
    assert code == 0, errors
    assert_same_curve(alone, both)


@pytest.mark.slow
def test_numbers_that_break_in_two_processes_stop_both_with_one_message(parallel, tmp_path):
    phases = [phase.model_dump() for phase in parallel.phases]
    phases[-1]["optimizer"] = {"lr": 100.0, "weight_decay": 1.0}
    wild = Recipe.model_validate({**parallel.model_dump(), "phases": phases})
    folder = tmp_path / "run"
    (first, told), (second, other) = finish(start(2, *words(wild, folder)))
    assert (first, second) == (1, 1)
    assert "no longer a finite number" in told
    assert "phase retrain, epoch 1, step " in told
    assert "ends together with the first one" in other
    assert "Traceback" not in told + other
    assert (folder / "checkpoints" / "phase00-epoch00002.safetensors").exists()


@pytest.mark.slow
def test_a_killed_process_stops_the_other_with_a_message_and_the_run_goes_on_alone(
    parallel, tmp_path
):
    alone = train(parallel, tmp_path / "alone")
    folder = tmp_path / "both"
    processes = start(2, *words(parallel, folder))
    wait_for(folder / "checkpoints" / "phase00-epoch00001.json", processes)
    processes[1].send_signal(signal.SIGKILL)
    (code, errors), _ = finish(processes)
    assert code == 1
    assert "another process of this training ended or does not answer" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    train(parallel, folder, resume=True)
    assert_same_curve(alone, folder)


@pytest.mark.slow
def test_a_process_that_hangs_stops_the_other_when_its_time_is_over(parallel, tmp_path):
    limited = Recipe.model_validate(
        {**parallel.model_dump(), "training": {"threads": 1, "worker_timeout": 5}}
    )
    processes = start(2, *words(limited, tmp_path / "run"))
    wait_for(tmp_path / "run" / "checkpoints" / "phase00-epoch00001.json", processes)
    processes[1].send_signal(signal.SIGSTOP)
    try:
        _, errors = processes[0].communicate(timeout=PATIENCE)
    finally:
        processes[1].kill()
        finish(processes[1:])
    assert processes[0].returncode == 1
    assert "another process of this training ended or does not answer" in errors


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two_and_refusals_are_told_once(
    parallel, tmp_path, interrupt_when
):
    alone = train(parallel, tmp_path / "alone")
    folder = tmp_path / "run"
    interrupt_when(folder / "checkpoints" / "phase03-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(parallel, folder)
    refused = finish(start(2, *words(parallel, folder)))
    assert [code for code, _ in refused] == [2, 1]
    assert "unfinished run" in refused[0][1]
    assert "ends together with the first one" in refused[1][1]
    results = finish(start(2, *words(parallel, folder, "--resume")))
    assert [code for code, _ in results] == [0, 0], results
    assert_same_curve(alone, folder)


def test_a_batch_that_processes_cannot_share_is_refused(recipe, tmp_path):
    data = {**recipe.data.model_dump(), "batch_size": 63}
    odd = Recipe.model_validate({**recipe.model_dump(), "data": data})
    results = finish(start(2, *words(odd, tmp_path / "run")))
    assert [code for code, _ in results] == [2, 2]
    assert "63 images cannot be shared equally by 2 processes" in results[0][1]
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there_is_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # this machine may have one
    wanted = Recipe.model_validate({**recipe.model_dump(), "training": {"device": "cuda"}})
    with pytest.raises(RecipeError, match="no GPU"):
        train(wanted, tmp_path / "run")


@pytest.fixture
def single_process(tmp_path):
    """A group of one process: collectives run, and everything must be torch's own batch norm."""
    file = (tmp_path / "group").as_uri()
    torch.distributed.init_process_group("gloo", init_method=file, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 4, 3)])
def test_the_shared_norm_is_torchs_own(single_process, shape, momentum):
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    own = kind(5, momentum=momentum).double()
    nn.init.normal_(own.weight)
    nn.init.normal_(own.bias)
    shared = kind(5, momentum=momentum).double()
    shared.load_state_dict(own.state_dict())
    network = share_statistics(nn.Sequential(shared))
    assert isinstance(network[0], GlobalBatchNorm)
    assert network[0].weight is shared.weight
    for mode in (True, True, False):
        own.train(mode)
        network.train(mode)
        x = (torch.randn(shape, dtype=torch.float64) * 3 + 1).requires_grad_()
        x2 = x.detach().requires_grad_()
        upstream = torch.randn(shape, dtype=torch.float64)
        y, y2 = own(x), network(x2)
        y.backward(upstream)
        y2.backward(upstream)
        torch.testing.assert_close(y2, y, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(x2.grad, x.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shared.weight.grad, own.weight.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(shared.bias.grad, own.bias.grad, rtol=1e-4, atol=1e-4)
        assert network[0].num_batches_tracked == own.num_batches_tracked
        torch.testing.assert_close(network[0].running_mean, own.running_mean)
        torch.testing.assert_close(network[0].running_var, own.running_var)
