"""Recipes on top of another one: what is kept, what is replaced, where mistakes are reported."""

from pathlib import Path

import pytest

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe

FAMILY = """\
name: family
network: {type: resnet, depth: 8, width: 16}
quantization:
  weight_bits: 2
  layers:
    "group1.*": {weight_bits: 4}
phases:
  - {name: float, kind: pretrain, epochs: 9, schedule: {type: step, milestones: [3]}}
  - {name: retrain, kind: retrain, epochs: 5, lipschitz: 1.0e-4}
  - {name: finetune, kind: finetune, epochs: 2}
"""


def load(folder: Path, text: str, *overrides: str, **others: str):
    for name, content in {"family": FAMILY, **others}.items():
        (folder / f"{name}.yaml").write_text(content)
    (folder / "own.yaml").write_text(text)
    return load_recipe(folder / "own.yaml", overrides)


def refusal(folder: Path, text: str, *overrides: str, **others: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, *overrides, **others)
    return caught.value


def test_what_a_recipe_does_not_say_comes_from_its_base(tmp_path):
    recipe = load(tmp_path, "base: family.yaml\nname: own\nnetwork: {width: 59}\n")
    base = load_recipe(tmp_path / "family.yaml")
    assert recipe.name == "own"
    assert recipe.network == base.network.model_copy(update={"width": 59})
    assert (recipe.quantization, recipe.phases) == (base.quantization, base.phases)


def test_bases_have_bases_named_relative_to_themselves(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common/root.yaml").write_text(FAMILY)
    (tmp_path / "common/middle.yaml").write_text("base: root.yaml\nnetwork: {depth: 14}\n")
    recipe = load(tmp_path, "base: common/middle.yaml\nname: own\n")
    assert (recipe.name, recipe.network.depth, recipe.network.width) == ("own", 14, 16)


def test_a_base_need_not_be_a_whole_recipe(tmp_path):
    bits = "quantization: {weight_bits: 5}\n"
    text = FAMILY.replace("quantization:\n  weight_bits: 2\n", "quantization:\n")
    recipe = load(tmp_path, "base: bits.yaml\n" + text, bits=bits)
    assert recipe.quantization.weight_bits == 5
    with pytest.raises(RecipeError, match="`name` is missing"):
        load_recipe(tmp_path / "bits.yaml")


def test_a_section_of_another_type_replaces_the_base_s(tmp_path):
    recipe = load(tmp_path, "base: family.yaml\nnetwork: {type: mobilenetv2, multiplier: 0.5}\n")
    assert (recipe.network.type, recipe.network.multiplier) == ("mobilenetv2", 0.5)


def test_null_gives_a_key_back_its_default_so_that_a_choice_can_change(tmp_path):
    recipe = load(tmp_path, "base: family.yaml\nnetwork: {depth: null, blocks: [1, 2]}\n")
    assert recipe.network.groups == [1, 2]


def test_phases_change_by_name_and_null_takes_one_away(tmp_path):
    recipe = load(
        tmp_path,
        "base: family.yaml\nphases:\n  retrain: {lipschitz: 0}\n  finetune: null\n"
        "  float: {schedule: {gamma: 0.5}}\n",
    )
    assert [(one.name, one.epochs) for one in recipe.phases] == [("float", 9), ("retrain", 5)]
    assert recipe.phases[1].lipschitz == 0
    assert recipe.phases[0].schedule.model_dump() == {
        "type": "step",
        "milestones": [3],
        "gamma": 0.5,
    }


def test_lists_are_replaced_as_a_whole(tmp_path):
    phases = "[{name: f, kind: pretrain, epochs: 1}, {name: r, kind: retrain, epochs: 1}]"
    recipe = load(tmp_path, f"base: family.yaml\nphases: {phases}\n")
    assert [one.name for one in recipe.phases] == ["f", "r"]


def test_merge_keys_count_as_written_out(tmp_path):
    recipe = load(
        tmp_path, "base: family.yaml\nnetwork: {<<: {width: 7, depth: 14}, depth: 20}\nname: own\n"
    )
    assert (recipe.network.width, recipe.network.depth) == (7, 20)


def test_overrides_come_on_top(tmp_path):
    recipe = load(tmp_path, "base: family.yaml\nname: own\n", "phases.retrain.epochs=1")
    assert recipe.phases[1].epochs == 1
    assert "cannot be set" in refusal(tmp_path, "base: family.yaml\n", "base=x.yaml").what


def test_a_mistake_is_reported_in_the_file_that_makes_it(tmp_path):
    wrong = FAMILY.replace("weight_bits: 2", "weight_bits: 12")
    error = refusal(tmp_path, "base: wrong.yaml\nname: own\n", wrong=wrong)
    assert error.where == f"{tmp_path / 'wrong.yaml'}:4 (quantization.weight_bits)"
    error = refusal(tmp_path, "base: family.yaml\n\nphases:\n  retrain:\n    lipschitz: -1\n")
    assert error.where == f"{tmp_path / 'own.yaml'}:5 (phases.1.lipschitz)"
    error = refusal(tmp_path, "base: family.yaml\nnetwork:\n  widht: 3\n")
    assert "did you mean `width`?" in error.what
    assert error.where == f"{tmp_path / 'own.yaml'}:3 (network.widht)"


def test_a_null_does_not_hide_an_unknown_key(tmp_path):
    assert "unknown key" in refusal(tmp_path, "base: family.yaml\nnetwork: {widht: null}\n").what


def test_a_phase_the_base_does_not_have_is_refused_with_its_names(tmp_path):
    error = refusal(tmp_path, "base: family.yaml\nphases:\n  retrian: {epochs: 1}\n")
    assert error.what == "the base has no item named `retrian`; did you mean `retrain`?"
    assert error.where == f"{tmp_path / 'own.yaml'}:3"
    assert error.why == "its items are: float, retrain, finetune"


@pytest.mark.parametrize("name", ["nowhere.yaml", "n" * 300])
def test_a_missing_base_is_reported_where_it_is_named(name, tmp_path):
    error = refusal(tmp_path, f"name: own\nbase: {name}\n")
    assert error.what == f"the base `{name}` does not exist"
    assert error.where == f"{tmp_path / 'own.yaml'}:2"
    assert "not a file name" in refusal(tmp_path, "base: [family.yaml]\n").what


def test_bases_in_a_circle_are_refused_with_the_way_round(tmp_path):
    error = refusal(tmp_path, "base: one.yaml\n", one="base: two.yaml\n", two="base: one.yaml\n")
    assert error.what == "recipes inherit from each other in a circle"
    assert error.why == "one.yaml -> two.yaml -> one.yaml"
    assert error.where == f"{tmp_path / 'two.yaml'}:1"
    assert refusal(tmp_path, "base: own.yaml\n").why == "own.yaml -> own.yaml"


def test_broken_yaml_in_a_base_names_that_file(tmp_path):
    error = refusal(tmp_path, "base: broken.yaml\n", broken="name: x\ndata: [\n")
    assert "is not valid YAML" in error.what
    assert (error.where or "").startswith(f"{tmp_path / 'broken.yaml'}:")
    twice = "name: x\nname: y\n"
    error = refusal(tmp_path, "base: twice.yaml\n", twice=twice)
    assert error.where == f"{tmp_path / 'twice.yaml'}:2"


def test_a_misspelt_base_gets_a_suggestion(tmp_path):
    assert "did you mean `base`?" in refusal(tmp_path, "bsae: family.yaml\n" + FAMILY).what
