"""Whole trainings on the embedded digits: phases, resuming, refusals, divergence."""

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from qdeploy.data.dataset import network_input
from qdeploy.errors import CheckpointError, LockedError, RecipeError, TrainingError
from qdeploy.folder_lock import LOCK_FILE
from qdeploy.networks.sections import DeeplabNetwork
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe
from qdeploy.training import data_wait, phase
from qdeploy.training.metrics import read_metrics
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.prepare import prepare
from qdeploy.training.run import MODEL, load_run, locked_run, recipe_digest, recipe_of
from qdeploy.training.train import train

CHECKPOINTS = "checkpoints"


def weights(folder: Path) -> bytes:
    return (folder / MODEL).read_bytes()


def changed(recipe: Recipe, **values: object) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **values})


@pytest.fixture
def unbroken(recipe, tmp_path) -> Path:
    return train(recipe, tmp_path / "unbroken")


def test_a_run_leaves_recipe_metrics_summary_and_a_quantized_network(recipe, unbroken):
    run = load_run(unbroken)
    assert run.recipe == recipe
    assert run.name == "tiny"
    rows = read_metrics(unbroken)
    assert [(row.phase, row.epoch) for row in rows] == [
        ("float", 1),
        ("float", 2),
        ("retrain", 1),
        ("retrain", 2),
        ("retrain", 3),
        ("finetune", 1),
        ("finetune", 2),
    ]
    summary = json.loads((unbroken / "summary.json").read_text())
    assert [phase["name"] for phase in summary["phases"]] == ["float", "retrain", "finetune"]
    assert summary["accuracy"] == summary["phases"][-1]["accuracy"]
    assert summary["accuracy"] == pytest.approx(rows[-1].accuracy, abs=0.02)
    assert "torch" in summary["provenance"]["versions"]
    assert summary["provenance"]["machine"]["cores"] >= 1
    assert not run.network.training
    codes = run.network.hidden2.fc.quant_weight() / run.network.hidden2.fc.weight_quant.scale()
    assert set(codes.round().unique().tolist()) == {-1.0, 0.0, 1.0}


def test_time_waiting_for_data_is_counted_and_said_when_it_is_much(recipe, tmp_path, monkeypatch):
    """A step takes a second, and a slow batch three, by a clock that only they move."""
    now = [0.0]
    quick: list[str] = []
    late: list[str] = []

    def slow(*args: object, **options: object) -> Iterator[object]:
        for batch in batches(*args, **options):
            now[0] += 3.0
            yield batch

    def step(self: PhaseTrainer, *args: object) -> object:
        now[0] += 1.0
        return whole(self, *args)

    batches, whole = phase.training_batches, PhaseTrainer._step
    monkeypatch.setattr(PhaseTrainer, "_step", step)
    for module in (phase, data_wait):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    train(recipe, tmp_path / "quick", observer=Observer(note=quick.append))
    assert len(quick) == 7
    assert not any("waiting for data" in note for note in quick)
    monkeypatch.setattr(phase, "training_batches", slow)
    train(recipe, tmp_path / "late", observer=Observer(note=late.append))
    assert all("75% of the time waiting for data" in note for note in late)
    assert {row.waiting for row in read_metrics(tmp_path / "quick")} == {0.0}
    assert {row.waiting for row in read_metrics(tmp_path / "late")} == {0.75}


def test_a_damaged_model_is_made_again_from_the_last_checkpoint(recipe, unbroken):
    notes: list[str] = []
    whole = weights(unbroken)
    (unbroken / MODEL).write_bytes(whole[:1000])
    train(recipe, unbroken, resume=True, observer=Observer(note=notes.append))
    assert notes == ["going on after epoch 2 of phase finetune"]
    assert weights(unbroken) == whole


def test_what_a_killed_process_left_half_written_goes_and_other_sums_are_said(
    recipe, tmp_path, interrupt_when
):
    notes: list[str] = []
    folder = tmp_path / "run"
    interrupt_when(folder / CHECKPOINTS / "phase01-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder)
    part = folder / CHECKPOINTS / ".phase01-epoch00002.safetensors.qdeploy-0123456789ab.part"
    part.write_bytes(b"half")
    kept = next((folder / CHECKPOINTS).glob("phase01-epoch00001.json"))
    sidecar = json.loads(kept.read_text())
    kept.write_text(json.dumps({**sidecar, "processes": 2}))
    train(recipe, folder, resume=True, observer=Observer(note=notes.append))
    assert not part.exists()
    assert "2 processes with 1 threads each, now 1 with 1: sums round differently" in notes[1]


def test_the_loaded_network_has_the_accuracy_of_the_summary(unbroken):
    run = load_run(unbroken)
    data = run.dataset()
    with torch.no_grad():
        logits = run.network(network_input(data.test_images, run.recipe.quantization.input_bits))
    accuracy = float((logits.argmax(1) == data.test_labels).float().mean())
    assert accuracy == pytest.approx(run.summary["accuracy"], abs=1e-6)
    assert accuracy > 0.5


def test_retraining_starts_from_the_float_network(recipe, tmp_path):
    long_float = changed(
        recipe,
        phases=[
            {"name": "float", "kind": "pretrain", "epochs": 15},
            {"name": "retrain", "kind": "retrain", "epochs": 1, "optimizer": {"lr": 1e-4}},
        ],
        data={"name": "digits", "batch_size": 64},
    )
    rows = read_metrics(train(long_float, tmp_path / "run"))
    assert rows[14].accuracy > 0.95
    assert rows[15].accuracy > 0.8  # a fresh network stands at 0.1 after such an epoch


def test_the_same_recipe_gives_the_same_bits(recipe, unbroken, tmp_path):
    again = train(recipe, tmp_path / "again")
    assert weights(again) == weights(unbroken)
    other = train(changed(recipe, seed=1), tmp_path / "other")
    assert weights(other) != weights(unbroken)


@pytest.mark.parametrize(
    "moment",
    ["phase00-epoch00001", "phase00-epoch00002", "phase01-epoch00002", "phase02-epoch00001"],
)
def test_an_interrupted_run_resumes_to_the_same_bits(
    recipe, unbroken, tmp_path, interrupt_when, moment
):
    folder = tmp_path / "broken"
    interrupt_when(folder / CHECKPOINTS / f"{moment}.json")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder)
    assert not (folder / MODEL).exists()
    train(recipe, folder, resume=True)
    assert weights(folder) == weights(unbroken)
    keys = ("phase", "epoch", "loss", "accuracy", "lr", "lipschitz")
    assert [[getattr(row, k) for k in keys] for row in read_metrics(folder)] == [
        [getattr(row, k) for k in keys] for row in read_metrics(unbroken)
    ]


def test_a_resumed_convnet_has_the_same_bits(recipe, tmp_path, interrupt_when):
    stages = [{"channels": 8, "stride": 2}, {"channels": 8, "pool": 2}]
    small = changed(recipe, network={"type": "convnet", "stages": stages, "hidden": [16]})
    one = train(small, tmp_path / "one")
    interrupt_when(tmp_path / "two" / CHECKPOINTS / "phase01-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "two")
    train(small, tmp_path / "two", resume=True)
    assert weights(tmp_path / "two") == weights(one)


def test_two_threads_give_the_same_bits_every_time(recipe, tmp_path):
    stages = [{"channels": 16}, {"channels": 16, "stride": 2}]
    small = changed(
        recipe,
        network={"type": "convnet", "stages": stages},
        data={"name": "digits", "batch_size": 512},
        training={"threads": 2, "epochs": 1},
    )
    assert weights(train(small, tmp_path / "one")) == weights(train(small, tmp_path / "two"))


def test_a_truncated_checkpoint_is_passed_over_and_said_so(
    recipe, unbroken, tmp_path, interrupt_when
):
    notes: list[str] = []
    folder = tmp_path / "broken"
    interrupt_when(folder / CHECKPOINTS / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder)
    newest = sorted((folder / CHECKPOINTS).glob("*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    train(recipe, folder, resume=True, observer=Observer(note=notes.append))
    assert f"the checkpoint `{newest.name}` is cut short" in notes[0]
    assert weights(folder) == weights(unbroken)


def test_a_finished_run_is_left_alone_unless_forced(recipe, unbroken):
    notes: list[str] = []
    before = (unbroken / MODEL).stat().st_mtime_ns
    train(recipe, unbroken, observer=Observer(note=notes.append))
    train(recipe, unbroken, resume=True, observer=Observer(note=notes.append))
    assert [note.endswith("nothing to do") for note in notes] == [True, True]
    assert (unbroken / MODEL).stat().st_mtime_ns == before
    train(recipe, unbroken, force=True)
    assert (unbroken / MODEL).stat().st_mtime_ns > before


def test_another_recipes_folder_is_refused_unless_forced(recipe, unbroken):
    other = changed(recipe, seed=3)
    with pytest.raises(CheckpointError, match="a different recipe") as caught:
        train(other, unbroken)
    assert caught.value.why == "the recipes differ in: seed"
    train(other, unbroken, force=True)
    assert load_run(unbroken).recipe.seed == 3


def test_an_unfinished_run_asks_for_resume_or_force(recipe, tmp_path, interrupt_when):
    folder = tmp_path / "broken"
    interrupt_when(folder / CHECKPOINTS / "phase00-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder)
    with pytest.raises(CheckpointError, match="unfinished run") as caught:
        train(recipe, folder)
    assert "--resume" in (caught.value.do or "")
    with pytest.raises(CheckpointError, match="not finished"):
        load_run(folder)


def test_a_folder_with_other_files_is_not_touched(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="is not empty"):
        train(recipe, tmp_path)
    train(recipe, tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_segmentation_network_without_labels_for_pixels_is_refused_before_it_starts(
    recipe, tmp_path
):
    network = DeeplabNetwork(type="deeplab", stem_stride=1)
    with pytest.raises(RecipeError, match="segmentation network cannot be trained on `digits`"):
        train(recipe.model_copy(update={"network": network}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_model_is_refused(recipe, unbroken):
    path = unbroken / MODEL
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cut short or changed"):
        load_run(unbroken)
    with pytest.raises(CheckpointError, match="is not a run folder"):
        load_run(unbroken / CHECKPOINTS)


@pytest.mark.parametrize(
    ("lipschitz", "what"), [(0.0, "is no longer a finite number; the "), (1e-4, "Lipschitz")]
)
def test_numbers_that_are_not_finite_name_step_and_layer_and_keep_the_checkpoint(
    recipe, tmp_path, lipschitz, what
):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1]["optimizer"] = {"lr": 100.0, "weight_decay": 1.0}
    phases[1]["lipschitz"] = lipschitz
    with pytest.raises(TrainingError, match="is no longer a finite number") as caught:
        train(changed(recipe, phases=phases), tmp_path / "run")
    assert (caught.value.where or "").startswith("phase retrain, epoch 1, step ")
    assert what in caught.value.what
    assert any(f"`{layer}" in caught.value.what for layer in ("hidden1.", "hidden2.", "head"))
    kept = tmp_path / "run" / CHECKPOINTS / "phase00-epoch00002.safetensors"
    assert kept.exists()
    assert str(kept) in (caught.value.do or "")


def test_threads_and_random_state_are_as_before_afterwards(recipe, tmp_path):
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(recipe, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_folder_that_another_training_writes_is_refused_and_says_who(recipe, tmp_path):
    folder = tmp_path / "run"
    with locked_run(folder, "train"):
        with pytest.raises(LockedError, match=f"process {os.getpid()} on .* since"):
            train(recipe, folder, force=True)
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]
    train(recipe, folder)
    assert not (folder / LOCK_FILE).exists()


@pytest.mark.parametrize("name", ["recipe.yaml", MODEL])
def test_files_that_are_not_those_of_the_training_are_refused_by_name(
    recipe, unbroken, tmp_path, name
):
    other = train(changed(recipe, seed=1), tmp_path / "other")
    for file in (name, Path(name).with_suffix(".json").name):
        if (other / file).exists():
            shutil.copy(other / file, unbroken / file)
    with pytest.raises(CheckpointError, match=f"`{name}` was changed after the training") as caught:
        load_run(unbroken)
    assert caught.value.where == str(unbroken / name)


def test_a_changed_recipe_is_refused_by_a_resume_and_changed_weights_are_made_again(
    recipe, unbroken, tmp_path
):
    whole = weights(unbroken)
    other = train(changed(recipe, seed=1), tmp_path / "other")
    for file in (MODEL, "model.json"):
        shutil.copy(other / file, unbroken / file)
    assert weights(train(recipe, unbroken, resume=True)) == whole
    with (unbroken / "recipe.yaml").open("a") as file:
        file.write("# mine\n")
    with pytest.raises(CheckpointError, match=r"`recipe\.yaml` was changed after the training"):
        train(recipe, unbroken, resume=True)


def test_a_run_of_before_digests_is_read_with_a_note(unbroken):
    summary = json.loads((unbroken / "summary.json").read_text())
    del summary["files"]
    (unbroken / "summary.json").write_text(json.dumps(summary))
    notes: list[str] = []
    assert load_run(unbroken, notes.append).name == "tiny"
    assert len(notes) == 1 and "kept no digests" in notes[0]


def killed_at(step: int, work: Callable[[], object], folder: Path) -> bool:
    """Do `work` in a process that is killed before its change number `step` of `folder`; whether
    it came so far."""
    child = os.fork()
    if child == 0:
        count = [0]

        def watch(event: str, values: tuple[object, ...]) -> None:
            changes = event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.utime")
            changes |= event == "open" and isinstance(values[2], int) and bool(values[2] & 3)
            if changes:
                count[0] += 1
                if count[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_force_that_is_killed_at_any_step_leaves_one_run_or_none(recipe, unbroken, tmp_path):
    other = changed(recipe, seed=3)
    fresh = train(other, tmp_path / "fresh")
    before = load_run(unbroken).recipe
    (unbroken / "analysis.json").write_text("{}")
    ends: list[str] = []
    for step in range(1, 200):
        folder = Path(shutil.copytree(unbroken, tmp_path / f"step{step}"))

        def force(folder: Path = folder) -> None:
            with locked_run(folder, "train"):
                prepare(folder, other, recipe_digest(other), resume=False, force=True)

        if not killed_at(step, force, folder):
            break
        try:
            assert load_run(folder).recipe == before
            ends.append("old")
        except CheckpointError:
            ends.append("none")
        if ends[-1] == "none":
            with contextlib.suppress(CheckpointError):  # of an empty folder, or the new run's
                assert recipe_of(folder) == other
            train(other, folder, resume=True)
            assert weights(folder) == weights(fresh)
            assert {path.name for path in folder.iterdir()} == {p.name for p in fresh.iterdir()}
            assert not load_run(folder).summary.get("started_from")
    assert ends == sorted(ends, reverse=True)  # old until one moment, none from there on
    assert "old" in ends and ends.count("none") > 10
