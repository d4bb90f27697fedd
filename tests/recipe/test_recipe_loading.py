"""Recipes: what is read, what is refused, and what the refusal says."""

from pathlib import Path

import pytest

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import dump_recipe, load_recipe
from qdeploy.resources import resource

GOOD = """\
name: small
network:
  type: fcdnn
  width: 16
quantization:
  weight_bits: 3
phases:
  - {name: float, kind: pretrain, epochs: 3}
  - {name: retrain, kind: retrain, epochs: 4}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(folder, text), overrides)
    return caught.value


def test_defaults_are_filled_in(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.quantization.weight_bits == 3
    assert (recipe.quantization.activation_bits, recipe.quantization.last_layer_bits) == (2, 8)
    assert recipe.phases[0].optimizer.momentum == 0.9
    assert recipe.phases[1].optimizer.weight_decay == 0


def test_a_dumped_recipe_reads_back_equal(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["phases.retrain.lipschitz=1e-4"])
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


@pytest.mark.parametrize("name", ["digits_fcdnn_w2a2", "fashion_convnet_w2a2", "fashion_mlp_w2a2"])
def test_the_quickstart_recipes_are_valid_and_named_like_their_files(name):
    assert load_recipe(resource(f"models/quickstart/{name}.yaml")).name == name


def test_every_field_of_every_section_is_described():
    from qdeploy.networks import sections as networks
    from qdeploy.recipe import models

    sections = [
        value
        for value in (*vars(models).values(), *vars(networks).values())
        if isinstance(value, type) and issubclass(value, models.Section)
    ]
    bare = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.description and name not in ("type", "name")
    ]
    assert not bare


def test_an_unknown_key_is_refused_with_line_and_suggestion(tmp_path):
    error = refusal(tmp_path, GOOD.replace("width", "widht"))
    assert "unknown key `network.widht`; did you mean `width`?" in error.what
    assert error.where == f"{tmp_path / 'recipe.yaml'}:4 (network.widht)"


def test_an_unknown_network_is_refused_with_the_known_ones(tmp_path):
    error = refusal(tmp_path, GOOD.replace("fcdnn", "fcnn"))
    assert "did you mean `fcdnn`?" in error.what
    assert error.do == "choose one of: fcdnn, convnet, resnet, mobilenetv2, deeplab, traced"


def test_an_unknown_choice_is_refused_with_a_suggestion(tmp_path):
    error = refusal(tmp_path, GOOD.replace("kind: retrain", "kind: retrian"))
    assert "`phases.1.kind` is `retrian`; did you mean `retrain`?" in error.what


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("weight_bits", 0, "1 to 8"),
        ("weight_bits", 9, "1 to 8"),
        ("activation_bits", 0, "1 to 8"),
        ("input_bits", 9, "1 to 8"),
        ("last_layer_bits", 16, "1 to 8"),
    ],
)
def test_bits_out_of_range_name_the_range(tmp_path, key, value, allowed):
    error = refusal(tmp_path, GOOD.replace("weight_bits: 3", f"{key}: {value}"))
    assert error.what == f"`quantization.{key}` is {value}, which is not in the range {allowed}"
    assert ":6 " in (error.where or "")


def test_broken_yaml_names_file_and_line(tmp_path):
    error = refusal(tmp_path, GOOD + "data: [\n")
    assert "is not valid YAML" in error.what
    assert (error.where or "").startswith(f"{tmp_path / 'recipe.yaml'}:")


def test_a_key_given_twice_is_refused(tmp_path):
    error = refusal(tmp_path, GOOD + "name: other\n")
    assert error.what == "duplicate key `name` in one section"
    assert error.why == "it is already given on line 1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: &loop [*loop]\n", 1),
        ("name: x\nnetwork: &loop\n  width: {least: *loop}\n", 2),
        ("name: x\nnetwork: &loop {<<: *loop}\n", 2),
        ("? &loop [*loop]\n: x\n", 1),
    ],
)
def test_an_alias_that_contains_itself_is_refused_with_its_line(tmp_path, text, line):
    error = refusal(tmp_path, text)
    assert error.what == "an alias contains itself"
    assert error.where == f"{tmp_path / 'recipe.yaml'}:{line}"


def test_an_alias_of_another_value_is_expanded(tmp_path):
    text = GOOD.replace("epochs: 3", "epochs: &many 3").replace("epochs: 4", "epochs: *many")
    assert [phase.epochs for phase in load_recipe(write(tmp_path, text)).phases] == [3, 3]


def test_a_value_that_is_not_valid_yaml_is_refused(tmp_path):
    error = refusal(tmp_path, GOOD.replace("name: small", "name: 2024-13-45"))
    assert "a value that is not valid YAML: month must be" in error.what
    assert "not valid YAML" in refusal(tmp_path, GOOD, "name=2024-13-45").what
    assert "valid integer" in refusal(tmp_path, GOOD, "network.width=&loop [*loop]").what


def test_a_missing_file_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "nowhere.yaml")
    assert "no sections" in refusal(tmp_path, "").what


def test_a_missing_section_is_named(tmp_path):
    error = refusal(tmp_path, "name: x\n")
    assert (error.what, error.do) == ("`network` is missing", "add it: the architecture")


@pytest.mark.parametrize(
    "phases",
    [
        "[{name: r, kind: retrain, epochs: 1}]",
        "[{name: f, kind: pretrain, epochs: 1}]",
        "[{name: r, kind: retrain, epochs: 1}, {name: f, kind: pretrain, epochs: 1}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: f, kind: retrain, epochs: 1}]",
        "[{name: d, kind: direct}, {name: f, kind: pretrain, epochs: 1}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: d, kind: direct, epochs: 1}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: r, kind: retrain}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: r, kind: recalibrate}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: d, kind: direct, images: 3}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: c, kind: recalibrate}, "
        "{name: d, kind: direct}]",
        "[{name: f, kind: pretrain, epochs: 1}, {name: d, kind: direct}, "
        "{name: t, kind: finetune, epochs: 1}]",
    ],
)
def test_phases_that_make_no_sense_are_refused(tmp_path, phases):
    refusal(tmp_path, f"name: x\nnetwork: {{type: fcdnn}}\nphases: {phases}\n")


def test_phases_without_training_keep_no_epochs_when_training_epochs_is_given(tmp_path):
    phases = (
        "[{name: f, kind: pretrain, epochs: 9}, {name: d, kind: direct}, "
        "{name: c, kind: recalibrate, images: 512}, {name: r, kind: retrain, epochs: 9}]"
    )
    text = f"name: x\nnetwork: {{type: fcdnn}}\nphases: {phases}\n"
    recipe = load_recipe(write(tmp_path, text), ["training.epochs=2"])
    assert [recipe.epochs_of(phase) for phase in recipe.phases] == [2, 0, 0, 2]


@pytest.mark.parametrize("key", ["weight_bits", "activation_bits"])
def test_widths_may_be_float_and_nothing_else_in_words(tmp_path, key):
    recipe = load_recipe(write(tmp_path, GOOD), [f"quantization.{key}=float"])
    assert getattr(recipe.quantization, key) == "float"
    error = refusal(tmp_path, GOOD, f"quantization.{key}=flot")
    assert error.what == f"`quantization.{key}` is flot, which is not in the range 1 to 8"
    assert "`float` keeps" in (error.do or "")


def test_an_override_of_training_epochs_holds_for_every_phase(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["training.epochs=2"])
    assert [recipe.epochs_of(phase) for phase in recipe.phases] == [2, 2]


def test_overrides_reach_phases_by_number_and_by_name(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["phases.0.epochs=7", "phases.retrain.epochs=9"])
    assert [recipe.epochs_of(phase) for phase in recipe.phases] == [7, 9]


def test_a_bad_override_is_quoted(tmp_path):
    error = refusal(tmp_path, GOOD, "training.epoch=3")
    assert "did you mean `epochs`?" in error.what
    assert error.where == "--set training.epoch=3"
    assert "use 0 to 1, or one of: float, retrain" in (
        refusal(tmp_path, GOOD, "phases.5.x=1").do or ""
    )
    assert "not of the form" in refusal(tmp_path, GOOD, "training.epochs").what
    assert "plain value" in refusal(tmp_path, GOOD, "name.first=1").what


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("name: cifar10, augment: scale-crop-flip", "and `mask-folder`, not for"),
        ("name: camvid, augment: crop-flip", "choose scale-crop-flip or none"),
        ("name: imagenet, augment: shift", "choose resized-crop-flip or none"),
        ("name: synthetic2d, augment: crop-flip", "choose none"),
        ("name: cifar10, image_size: 64", "the images of `cifar10` have a fixed size"),
        ("name: voc2012, classes: 5", "the classes of `voc2012` are fixed"),
    ],
)
def test_a_data_option_that_does_not_fit_the_set_is_refused(tmp_path, data, what):
    error = refusal(tmp_path, GOOD + f"data: {{{data}}}\n")
    assert what in error.what
