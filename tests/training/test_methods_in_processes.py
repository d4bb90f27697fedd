"""Methods of phases in data-parallel training: the curve of one process, and no process waits."""

import pytest
from processes import finish, start

from qdeploy.recipe.loading import save_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.training.metrics import read_metrics
from qdeploy.training.train import train

# Of losses: sums of other order decide single roundings otherwise, and training goes on from there,
# as in test_workers.
NEAR = 0.15
METHODS = [
    {
        "epochs": 2,
        "schedule": {"type": "constant"},
        "quantization": {"weight_bits": 4, "activation_bits": 4},
        "distillation": {"features": 0.1},
        "oscillation": {"damping": 0.01, "freeze": 0.02, "freeze_start": 0.1, "momentum": 0.1},
        "refit_epochs": 1,
        "average_epochs": 1,
    },
    {
        "epochs": 1,
        "optimizer": {"lr": 0.01},
        "distillation": {"share": 1.0},
        "schedule": {"type": "transition", "factor": 0.01},
    },
]


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one_with_every_method(recipe, tmp_path):
    float_, *later = [phase.model_dump() for phase in recipe.phases]
    phases = [{**phase, **own} for phase, own in zip(later, METHODS, strict=True)]
    wanted = Recipe.model_validate(
        {
            **recipe.model_dump(),
            "network": {
                "type": "convnet",
                "stages": [{"channels": 6, "stride": 2}],
                "hidden": [16],
            },
            "quantization": {"weight_gradient_scaling": 0.2},
            "training": {"threads": 1, "accumulate": 2},
            "phases": [{**float_, "epochs": 1}, *phases],
        }
    )
    path = tmp_path / "recipe.yaml"
    save_recipe(wanted, path)
    alone, both = train(wanted, tmp_path / "alone"), tmp_path / "both"
    results = finish(start(2, "train", str(path), "--out", str(both)))
    assert [code for code, _ in results] == [0, 0], results
    curves = [[row.loss for row in read_metrics(folder)] for folder in (alone, both)]
    assert len(curves[0]) == 4
    assert curves[1] == pytest.approx(curves[0], rel=NEAR)
