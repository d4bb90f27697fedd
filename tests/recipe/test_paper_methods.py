"""The papers' recipes quantize and retrain as the papers say."""

from pathlib import Path

import pytest

from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe

MODELS = Path(__file__).resolve().parents[2] / "models"


def family(name: str) -> list[Recipe]:
    paths = sorted((MODELS / name).glob("*.yaml"))
    return [load_recipe(path) for path in paths if path.name != "tables.yaml"]


@pytest.mark.parametrize("name", ["boo2020", "sung2015", "mlperf_tiny", "camvid", "quickstart"])
def test_weight_steps_are_those_of_least_squared_error_and_clips_are_pacts(name):
    """Section 2.2 of Boo et al. 2020: Hwang & Sung 2014 for weights, PACT for activations. Sung et
    al. 2015 quantize signals with 8 bits and say nothing of their clip. The spoken digits, which
    neither paper has, learn both."""
    for recipe in family(name):
        settings = recipe.quantization
        assert (settings.weight_init, settings.weight_step) == ("mse", "fixed"), recipe.name
        assert settings.clip_gradient == "pact", recipe.name


@pytest.mark.parametrize("name", ["boo2020", "sung2015", "mlperf_tiny", "fsdd", "camvid"])
def test_quantized_phases_have_no_l2(name):
    """Section 5.2: L2 regularization belongs to float training."""
    for recipe in family(name):
        for phase in recipe.phases:
            assert phase.kind == "pretrain" or phase.optimizer.weight_decay == 0, recipe.name
