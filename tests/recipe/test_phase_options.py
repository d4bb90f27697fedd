"""Optimizers, schedules and limits of a phase: what is refused, and with which sentence."""

import pytest
from pydantic import ValidationError

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import dump_recipe, load_recipe
from qdeploy.recipe.models import Phase, Recipe

COSINE = {"type": "cosine", "min_lr": 1e-3}


def phase(**values: object) -> Phase:
    return Phase.model_validate({"name": "x", "kind": "pretrain", "epochs": 9, **values})


def recipe(*phases: dict[str, object], **values: object) -> Recipe:
    given = [{"name": "float", "kind": "pretrain", "epochs": 9}, *phases]
    if len(given) == 1:
        given.append({"name": "retrain", "kind": "retrain", "epochs": 9})
    return Recipe.model_validate(
        {"name": "x", "network": {"type": "fcdnn"}, "phases": given, **values}
    )


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        ({"type": "adam"}, "the optimizer `adam` needs its own `lr`, such as 1e-3"),
        ({"type": "adamw"}, "the optimizer `adamw` needs its own `lr`, such as 1e-3"),
        ({"type": "adam", "lr": 1e-3, "nesterov": True}, "`adam` has no `nesterov`: it is of `sgd"),
        ({"type": "adamw", "lr": 1e-3, "momentum": 0.5}, "`adamw` has no `momentum`: it is of `sg"),
        ({"beta1": 0.8}, "`sgd` has no `beta1`: it is of `adam` and `adamw`"),
        ({"beta2": 0.8}, "`sgd` has no `beta2`: it is of `adam` and `adamw`"),
        ({"epsilon": 0.8}, "`sgd` has no `epsilon`: it is of `adam` and `adamw`"),
        ({"nesterov": True, "momentum": 0}, "`nesterov: true` needs a `momentum` above 0"),
    ],
)
def test_keys_of_another_optimizer_are_refused(optimizer, sentence):
    with pytest.raises(ValidationError, match=sentence):
        phase(optimizer=optimizer)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("optimizer.beta1", 1, "0 to below 1"),
        ("optimizer.beta2", -0.1, "0 to below 1"),
        ("optimizer.epsilon", 0, "above 0 to 1"),
        ("warmup_epochs", -1, "0 to 100000"),
        ("clip_norm", -1, "0 to 1000000.0"),
        ("schedule.min_lr", 101, "0 to 100"),
        ("loss.label_smoothing", 1, "0 to below 1"),
        ("cutout", -1, "0 to 2048"),
        ("mixup", -0.5, "0 to 100"),
    ],
)
def test_a_value_out_of_range_names_the_range(tmp_path, key, value, allowed):
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe({"name": "r", "kind": "retrain", "epochs": 9})))
    more = ["phases.r.schedule.type=cosine"] if key.startswith("schedule") else []
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, [*more, f"phases.r.{key}={value}"])
    assert caught.value.what == f"`phases.1.{key}` is {value}, which is not in the range {allowed}"


def test_a_stored_recipe_with_adam_reads_back_equal(tmp_path):
    adam = {"name": "r", "kind": "retrain", "epochs": 9, "optimizer": {"type": "adam", "lr": 1e-3}}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe(adam)))
    assert load_recipe(path) == recipe(adam)


def test_a_cosine_that_does_not_fall_is_refused():
    assert phase(schedule=COSINE, optimizer={"lr": 2e-3}).optimizer.lr == 2e-3
    with pytest.raises(ValidationError, match=r"0.001 of a cosine .* not below .* lr 0.001"):
        phase(schedule=COSINE, optimizer={"lr": 1e-3})


def test_warm_up_in_front_of_cycles_or_over_a_milestone_is_refused():
    with pytest.raises(ValidationError, match="cyclical schedule, whose rates rise and fall"):
        phase(schedule={"type": "cyclical"}, warmup_epochs=1)
    assert phase(schedule={"type": "step", "milestones": [5, 3]}, warmup_epochs=3).warmup_epochs
    with pytest.raises(ValidationError, match=r"the milestone 3 .* lies in its `warmup_epochs`, 4"):
        phase(schedule={"type": "step", "milestones": [5, 3]}, warmup_epochs=4)


def test_warm_up_that_takes_the_whole_phase_is_refused_also_where_it_is_shortened():
    retrain = {"name": "r", "kind": "retrain", "epochs": 9, "warmup_epochs": 3}
    assert recipe(retrain).phases[1].warmup_epochs == 3
    with pytest.raises(ValidationError, match="`r`, 3, take all of its epochs, 3"):
        recipe(retrain, training={"epochs": 3})
    with pytest.raises(ValidationError, match="`r`, 9, take all of its epochs, 9"):
        recipe({**retrain, "warmup_epochs": 9})


@pytest.mark.parametrize("kind", ["direct", "recalibrate"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("warmup_epochs", 1),
        ("clip_norm", 1),
        ("loss", {"label_smoothing": 0.1}),
        ("loss", {"class_weights": "balanced"}),
        ("cutout", 1),
        ("mixup", 1),
    ],
)
def test_phases_that_do_not_train_take_no_options_of_training(kind, key, value):
    with pytest.raises(ValidationError, match=f"which does not train: remove its `{key}`"):
        Phase.model_validate({"name": "x", "kind": kind, key: value})


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1, -1], "the class weight -1.0 is not in the range 0 to 1e"),
        ([1, 2e6], "the class weight 2000000.0 is not in the range 0 to 1e"),
        ([1, float("nan")], "the class weight nan is not in the range 0 to 1e"),
        ([0, 0], "needs at least one number above 0"),
        ([], "needs at least one number above 0"),
        ([1, 2, 3], "`x` has 3 class weights, but `synthetic2d` has 2 classes: give one for each"),
        ("equal", "valid list"),
    ],
)
def test_class_weights_that_are_none_are_refused(weights, sentence):
    with pytest.raises(ValidationError, match=sentence):
        recipe(
            {"name": "x", "kind": "retrain", "epochs": 1, "loss": {"class_weights": weights}},
            data={"name": "synthetic2d"},
        )


def test_class_weights_are_counted_where_the_recipe_sets_the_classes():
    retrain = {"name": "x", "kind": "retrain", "epochs": 1, "loss": {"class_weights": [1, 2, 3]}}
    data = {"name": "imagenet", "classes": 3}
    assert recipe(retrain, data=data).phases[1].loss.class_weights == [1, 2, 3]


def test_mixtures_are_refused_where_every_pixel_has_a_label():
    retrain = {"name": "x", "kind": "retrain", "epochs": 1, "mixup": 0.2}
    with pytest.raises(ValidationError, match=r"`mixup` of the phase `x` .* masks of `camvid`"):
        recipe(retrain, data={"name": "camvid"})
    assert recipe({**retrain, "mixup": 0, "cutout": 9}, data={"name": "camvid"}).phases[1].cutout


@pytest.mark.parametrize(
    ("data", "size", "largest"),
    [
        ({"name": "digits"}, "8x8", 7),
        ({"name": "fsdd"}, "32x64", 63),
        ({"name": "imagenet", "image_size": 48}, "48x48", 47),
    ],
)
def test_a_hole_as_large_as_the_images_is_refused(data, size, largest):
    retrain = {"name": "x", "kind": "retrain", "epochs": 1, "cutout": largest}
    assert recipe(retrain, data=data).phases[1].cutout == largest
    with pytest.raises(ValidationError, match=f"{largest + 1} pixels, .* which have {size}"):
        recipe({**retrain, "cutout": largest + 1}, data=data)


def test_an_unknown_log_is_refused_with_the_known_ones_and_none_is_named_twice(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe()))
    with pytest.raises(
        RecipeError, match=r"`training.logs.0` is `tensorbord`; did you mean"
    ) as one:
        load_recipe(path, ["training.logs=[tensorbord]"])
    assert one.value.do == "choose one of: csv, tensorboard"
    with pytest.raises(RecipeError, match="names a log twice"):
        load_recipe(path, ["training.logs=[csv, csv]"])
