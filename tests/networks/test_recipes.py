"""Every recipe in models/: it loads, builds, and one step reaches every weight."""

from collections import Counter
from pathlib import Path

import pytest
from one_step import one_step

from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.papers import recipes

RECIPES = recipes()


def test_names_of_recipes_are_unique_so_that_runs_do_not_collide():
    names = Counter(load_recipe(path).name for path in RECIPES)
    assert max(names.values()) == 1, names.most_common(1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_step_of_the_recipe_reaches_every_weight(path: Path):
    recipe = load_recipe(path)
    if path.parent.name != "mlperf_tiny":
        assert recipe.name == path.stem
    one_step(recipe)
