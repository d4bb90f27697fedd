"""Names of variants: they say what was set, and are equal just when the settings are."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import dump_recipe, load_recipe
from qdeploy.recipe.models import RUN_PATTERN
from qdeploy.recipe.variant import LONGEST, recipe_name, variant_name
from qdeploy.resources import resource

RECIPE = resource("models/quickstart/digits_fcdnn_w2a2.yaml")
NAME = "digits_fcdnn_w2a2"
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 999)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.lists(st.integers(0, 9), max_size=4)
)
KEYS = st.from_regex(r"[a-z_]{1,8}(\.[a-z0-9_*]{1,8}){1,3}", fullmatch=True)
SETTINGS = st.dictionaries(KEYS, VALUES, max_size=5)


def named(*overrides: str) -> str:
    return load_recipe(RECIPE, overrides).name


def kinds(settings: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    """Settings whose values are equal only when they are of one type too."""
    return {key: (type(value), repr(value)) for key, value in settings.items()}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SETTINGS, SETTINGS)
def test_names_are_equal_just_when_the_settings_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = variant_name("net", one), variant_name("net", other)
    assert (first == second) == (kinds(one) == kinds(other))
    assert variant_name("net", dict(reversed(one.items()))) == first
    assert re.match(RUN_PATTERN, first)
    assert len(first) <= len("net") + LONGEST
    assert recipe_name(first) == "net"


def test_without_settings_the_name_is_the_recipes() -> None:
    assert named() == NAME


def test_the_name_says_what_was_set_in_any_order_and_notation() -> None:
    words = ["training.epochs=3", "phases.1.lipschitz=1e-4", "seed=7"]
    expected = f"{NAME}+phases.retrain.lipschitz=0.0001+seed=7+training.epochs=3"
    for order in permutations(words):
        assert named(*order) == expected
    other = ["training.epochs=9", "training.epochs=0x3", "seed=07"]
    assert named(*other, "phases.retrain.lipschitz=0.00010") == expected


def test_where_it_is_trained_is_no_variant_and_a_name_that_is_set_stays() -> None:
    assert named("training.device=auto", "data.workers=2", "training.worker_timeout=9") == NAME
    assert named("training.logs=[csv]") == NAME
    assert named("name=mine", "training.epochs=3") == "mine"


def test_values_that_no_file_name_holds_end_in_a_digest() -> None:
    one = named("phases.0.schedule={type: step, milestones: [2, 3]}")
    other = named("phases.0.schedule={type: step, milestones: [2, 4]}")
    assert one != other
    assert all(re.fullmatch(rf"{NAME}\+phases\.float\.schedule=[\w.=-]+", x) for x in (one, other))


def test_long_settings_are_whole_ones_and_how_many_more() -> None:
    one = {f"phases.retrain.key{index}": index for index in range(9)}
    names = [variant_name("net", one | {"phases.retrain.key8": last}) for last in (8, 9)]
    kept = re.escape("".join(f"+phases.retrain.key{index}={index}" for index in range(4)))
    assert all(re.fullmatch(rf"net{kept}\+5-more-[0-9a-f]{{8}}", name) for name in names)
    assert names[0] != names[1]
    assert re.fullmatch(r"net\+text=x{46}-[0-9a-f]{8}", variant_name("net", {"text": "x" * 300}))


def test_a_variants_recipe_is_read_back_as_it_is(tmp_path) -> None:
    recipe = load_recipe(RECIPE, ["training.epochs=3", "seed=7"])
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("name", ["+a=1", "a/b+c=1", "a+b/c", "a+b c", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(RECIPE, [f"name={name!r}"])
