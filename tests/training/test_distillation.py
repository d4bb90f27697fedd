"""Learning from a float teacher: the loss, resuming, and teachers that do not fit."""

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.recipe.distillation import Distillation
from qdeploy.recipe.models import Recipe
from qdeploy.training.methods.distillation import Distilling, divergence
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import MODEL, SUMMARY
from qdeploy.training.train import train


def distilled(recipe: Recipe, changes: dict[str, object] | None = None, **values: object) -> Recipe:
    phases = [phase.model_dump() for phase in recipe.phases]
    for phase in phases[1:]:
        phase["distillation"] = changes or {}
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases, **values})


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x))


def test_the_loss_is_that_of_its_formula():
    torch.manual_seed(1)
    network, teacher, x = Net(), Net(), torch.randn(5, 4)
    labels = torch.tensor([0, 1, 2, 0, 1])
    settings = Distillation(share=0.3, temperature=4.0, features=0.2)
    with Distilling(network, teacher, settings) as method:
        logits = network(x)
        task = F.cross_entropy(logits, labels)
        loss = method.loss(task, x, logits)
    z, t = logits.detach().double(), teacher(x).detach().double()
    p = (t / 4).softmax(1)
    kl = (p * (p.log() - (z / 4).log_softmax(1))).sum(1).mean()
    a, b = network.stem(x).double(), teacher.stem(x).double()
    features = (a - b).square().sum() / b.square().sum()
    wanted = 0.7 * task.double() + 0.3 * 16 * kl + 0.2 * features
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=0)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not network.stem._forward_hooks  # none is left


def test_logits_of_a_map_count_one_by_one():
    torch.manual_seed(1)
    logits, wanted = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    rows = [one.permute(0, 2, 3, 1).reshape(-1, 3) for one in (logits, wanted)]
    torch.testing.assert_close(divergence(logits, wanted, 2.0), divergence(*rows, 2.0))
    assert divergence(wanted, wanted, 2.0) == 0


@pytest.mark.parametrize("changes", [{}, {"share": 1.0, "features": 0.5}])
def test_a_run_learns_from_its_own_float_network_and_resumes_to_the_same_bits(
    recipe, tmp_path, interrupt_when, changes
):
    wanted = distilled(recipe, changes)
    whole = train(wanted, tmp_path / "whole")
    plain = train(recipe, tmp_path / "plain")
    losses = [[row.loss for row in read_metrics(one)] for one in (whole, plain)]
    assert losses[0][:2] == losses[1][:2]  # float training is as it was
    assert all(one != other for one, other in zip(losses[0][2:], losses[1][2:], strict=True))
    folder = tmp_path / "broken"
    interrupt_when(folder / "checkpoints" / "phase02-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, folder)
    train(wanted, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_a_teacher_of_another_run_may_have_another_architecture(recipe, tmp_path, interrupt_when):
    network = {"type": "fcdnn", "width": 48, "depth": 3}
    teacher = train(
        Recipe.model_validate({**recipe.model_dump(), "network": network}), tmp_path / "teacher"
    )
    wanted = distilled(recipe, {"teacher": str(teacher)})
    whole = train(wanted, tmp_path / "whole")
    broken = tmp_path / "broken"
    interrupt_when(broken / "checkpoints" / "phase01-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, broken)
    other = tmp_path / "other"
    shutil.copytree(broken, other)
    train(wanted, broken, resume=True)
    assert (broken / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    # The same recipe with another seed in the teacher's place.
    shutil.rmtree(teacher)
    train(Recipe.model_validate({**recipe.model_dump(), "network": network, "seed": 5}), teacher)
    with pytest.raises(CheckpointError, match="not the one that this phase began with"):
        train(wanted, other, resume=True)
    # What is finished needs no teacher any more.
    shutil.rmtree(teacher)
    train(wanted, whole)


def refusal(recipe: Recipe, folder: Path) -> RecipeError | CheckpointError:
    with pytest.raises((RecipeError, CheckpointError)) as error:
        train(recipe, folder / "run")
    assert not (folder / "run" / "recipe.yaml").exists()  # before anything is made
    return error.value


def test_teachers_that_do_not_fit_are_refused_before_training(recipe, tmp_path):
    teacher = train(recipe, tmp_path / "teacher")
    other = {
        "network": {"type": "fcdnn", "width": 16, "depth": 3},
        "data": {"name": "digits", "batch_size": 32},
    }
    error = refusal(
        distilled(recipe, {"teacher": str(teacher), "features": 1.0}, **other), tmp_path
    )
    assert "has another architecture" in error.what
    assert error.where == "phases.retrain.distillation.features"
    error = refusal(distilled(recipe, {"teacher": str(tmp_path)}), tmp_path)
    assert "is not a run folder" in error.what
    (teacher / SUMMARY).rename(teacher / "kept")
    error = refusal(distilled(recipe, {"teacher": str(teacher)}), tmp_path)
    assert f"the teacher's run in `{teacher}` is not finished" in error.what
    (teacher / "kept").rename(teacher / SUMMARY)
    for path in (teacher / "checkpoints").glob("phase00*"):
        path.unlink()
    error = refusal(distilled(recipe, {"teacher": str(teacher)}), tmp_path)
    assert "no checkpoint of the end of phase number 1" in error.what


def test_a_teacher_of_another_data_set_is_refused(recipe, tmp_path):
    teacher = train(recipe, tmp_path / "teacher")
    changes = {"data": {"name": "synthetic2d", "batch_size": 64}}
    error = refusal(distilled(recipe, {"teacher": str(teacher)}, **changes), tmp_path)
    assert "has another data set: `digits`, and this recipe `synthetic2d`" in error.what


def test_a_float_phase_is_not_its_own_teacher_and_calibration_has_none(recipe):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[0]["distillation"] = {}
    with pytest.raises(ValidationError, match="cannot be its own teacher"):
        Recipe.model_validate({**recipe.model_dump(), "phases": phases})
    phases[0]["distillation"] = None
    phases.append({"name": "norms", "kind": "recalibrate", "distillation": {}})
    with pytest.raises(ValidationError, match="which does not train: remove its `distillation`"):
        Recipe.model_validate({**recipe.model_dump(), "phases": phases})
