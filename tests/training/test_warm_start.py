"""A run that takes its first phases over from another one."""

import json

import pytest
import torch

from qdeploy.errors import CheckpointError, TrainingError
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train
from qdeploy.training.warm_start import shared_phases


def changed(recipe: Recipe, **sections: object) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **sections})


def with_phase(recipe: Recipe, index: int, **values: object) -> Recipe:
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[index].update(values)
    return changed(recipe, phases=phases)


def trained_phases(notes: list[str], recipe: Recipe) -> list[str]:
    begun = [note.split(" 1/")[0] for note in notes if " 1/" in note]
    return [phase.name for phase in recipe.phases if phase.name in begun]


def test_only_what_differs_is_trained_and_the_weights_are_those_of_a_whole_run(recipe, tmp_path):
    notes: list[str] = []
    train(recipe, tmp_path / "first")
    slower = with_phase(recipe, 2, schedule={"type": "constant"}, optimizer={"lr": 1e-4})
    whole = train(slower, tmp_path / "whole")
    observer = Observer(note=notes.append)
    folder = train(slower, tmp_path / "second", warm_start=tmp_path / "first", observer=observer)
    assert trained_phases(notes, slower) == ["finetune"]
    assert (folder / MODEL).read_bytes() != (tmp_path / "first" / MODEL).read_bytes()
    one, other = read_tensors(folder / MODEL)[0], read_tensors(whole / MODEL)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [(r.phase, r.epoch, r.loss) for r in read_metrics(folder)] == [
        (r.phase, r.epoch, r.loss) for r in read_metrics(whole)
    ]
    origin = load_run(folder).summary["started_from"]
    assert (origin["run"], origin["phase"]) == (str(tmp_path / "first"), "retrain")


def test_float_training_is_shared_by_all_bit_widths(recipe, tmp_path):
    notes: list[str] = []
    train(recipe, tmp_path / "first")
    wider = changed(recipe, name="wider", quantization={"weight_bits": 4, "activation_bits": 3})
    whole = train(wider, tmp_path / "whole")
    observer = Observer(note=notes.append)
    folder = train(wider, tmp_path / "second", warm_start=tmp_path / "first", observer=observer)
    assert trained_phases(notes, wider) == ["retrain", "finetune"]
    one, other = read_tensors(folder / MODEL)[0], read_tensors(whole / MODEL)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_unfinished_run_gives_what_it_has_and_is_left_as_it_is(recipe, tmp_path, interrupt_when):
    notes: list[str] = []
    source = tmp_path / "first"
    interrupt_when(source / "checkpoints" / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, source)
    files = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    observer = Observer(note=notes.append)
    folder = train(recipe, tmp_path / "second", warm_start=source, observer=observer)
    assert trained_phases(notes, recipe) == ["finetune"]
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == files
    train(recipe, source, resume=True)
    assert (folder / MODEL).read_bytes() == (source / MODEL).read_bytes()


def test_a_run_that_took_over_goes_on_by_itself(recipe, tmp_path, interrupt_when):
    train(recipe, tmp_path / "first")
    slower = with_phase(recipe, 1, optimizer={"lr": 0.005})
    whole = train(slower, tmp_path / "whole")
    folder = tmp_path / "second"
    interrupt_when(folder / "checkpoints" / "phase01-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(slower, folder, warm_start=tmp_path / "first")
    train(slower, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert load_run(folder).summary["started_from"]["phase"] == "float"


def test_a_diverged_phase_is_trained_again_as_the_error_says(recipe, tmp_path):
    notes: list[str] = []
    wild = with_phase(recipe, 1, optimizer={"lr": 100.0, "weight_decay": 1.0})
    with pytest.raises(TrainingError) as caught:
        train(wild, tmp_path / "wild")
    assert f"--start-from {tmp_path / 'wild'}" in (caught.value.do or "")
    observer = Observer(note=notes.append)
    folder = train(recipe, tmp_path / "tame", warm_start=tmp_path / "wild", observer=observer)
    assert trained_phases(notes, recipe) == ["retrain", "finetune"]
    assert load_run(folder).summary["accuracy"] > 0.4


@pytest.mark.parametrize(
    ("sections", "count"),
    [
        ({"name": "other"}, 3),
        ({"seed": 1}, 0),
        ({"network": {"type": "fcdnn", "width": 17, "depth": 2}}, 0),
        ({"quantization": {"weight_bits": 3}}, 1),
        ({"quantization": {"input_bits": 4}}, 0),
        ({"training": {"threads": 1, "worker_timeout": 5}}, 3),
        ({"training": {"threads": 1, "accumulate": 2}}, 0),
    ],
)
def test_what_two_recipes_share(recipe, sections, count):
    assert len(shared_phases(recipe, changed(recipe, **sections))) == count


def test_nothing_in_common_is_refused_and_nothing_is_touched(recipe, tmp_path):
    source = train(recipe, tmp_path / "first")
    other = train(with_phase(recipe, 0, epochs=1), tmp_path / "other")
    before = (other / MODEL).read_bytes()
    reseeded = changed(recipe, seed=1)
    with pytest.raises(CheckpointError, match="no phase in common") as caught:
        train(reseeded, other, warm_start=source, force=True)
    assert "seed" in (caught.value.why or "")
    assert (other / MODEL).read_bytes() == before
    with pytest.raises(CheckpointError, match="not a run folder"):
        train(recipe, tmp_path / "new", warm_start=tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()
    with pytest.raises(CheckpointError, match="cannot start from itself"):
        train(recipe, source, warm_start=source, force=True)
    assert json.loads((source / "summary.json").read_text())["name"] == recipe.name


def test_a_source_whose_checkpoints_are_damaged_is_refused(recipe, tmp_path):
    source = train(recipe, tmp_path / "first")
    for path in (source / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="no complete checkpoint of `float`"):
        train(recipe, tmp_path / "second", warm_start=source)
