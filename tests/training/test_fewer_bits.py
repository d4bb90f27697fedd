"""Bit widths that go down from phase to phase."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError
from qdeploy.quant.quantizers import code_range, learned_thresholds
from qdeploy.quant.step_size import least_error_step
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.methods.fewer_bits import check_bits, recipe_during, with_fewer_bits
from qdeploy.training.quantize import trainable
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.state import restore_network
from qdeploy.training.train import train

FOUR, THREE = ({"weight_bits": bits, "activation_bits": bits} for bits in (4, 3))


def made(recipe: Recipe, *bits: dict[str, object] | None, **values: object) -> Recipe:
    """Float, then a retrain phase and finetune phases with these `quantization`s."""
    float_, retrain, finetune = (phase.model_dump() for phase in recipe.phases)
    phases = [float_]
    for index, one in enumerate(bits):
        kind = retrain if index == 0 else finetune
        phases.append({**kind, "name": f"q{index}", "epochs": 2, "quantization": one})
        phases[-1]["schedule"] = {"type": "constant"}
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases, **values})


def end_of(folder: Path, recipe: Recipe, phase: int) -> torch.nn.Module:
    """The network after a phase."""
    tensors, _ = read_tensors(folder / "checkpoints" / f"phase0{phase}-epoch00002.safetensors")
    network = trainable(recipe_during(recipe, phase), quantized=True)
    restore_network(network, tensors)
    return network


def test_each_phase_trains_with_its_bits_and_the_run_ends_with_those_of_the_recipe(
    recipe, tmp_path, interrupt_when
):
    falling = made(recipe, FOUR, THREE, None)
    folder = train(falling, tmp_path / "whole")
    for phase, highest in ((1, 7), (2, 3), (3, 1)):
        network = end_of(folder, falling, phase)
        assert code_range(network.hidden2.fc.weight_quant) == (-highest, highest)
        assert code_range(network.hidden2.act.act_quant) == (0, 2 * highest + 1)
        codes = network.hidden2.fc.quant_weight() / network.hidden2.fc.weight_quant.scale()
        assert codes.round().abs().max() == highest
        assert code_range(network.hidden1.fc.weight_quant) == (-127, 127)
    run = load_run(folder)
    assert code_range(run.network.hidden2.fc.weight_quant) == (-1, 1)
    # Killed in the second of the narrowing phases, and between two of them.
    for name in ("phase02-epoch00001", "phase01-epoch00002"):
        broken = tmp_path / name
        interrupt_when(broken / "checkpoints" / f"{name}.json")
        with pytest.raises(KeyboardInterrupt):
            train(falling, broken)
        train(falling, broken, resume=True)
        assert (broken / MODEL).read_bytes() == (folder / MODEL).read_bytes()


@pytest.mark.parametrize("changes", [{}, {"scale": "power_of_two"}, {"weight_step": "learned"}])
def test_clips_stay_and_steps_are_chosen_anew_where_codes_change(recipe, tmp_path, changes):
    falling = made(recipe, FOUR, None, quantization=changes)
    before = end_of(train(falling, tmp_path / "run"), falling, 1)
    after = with_fewer_bits(falling, before, load_dataset(falling.data))
    clips = "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.value"
    old, new = before.state_dict(), after.state_dict()
    for name in ("hidden1.act", "hidden2.act"):
        assert torch.equal(old[f"{name}.{clips}"], new[f"{name}.{clips}"])
    assert torch.equal(before.hidden2.fc.weight, after.hidden2.fc.weight)
    # The first layer keeps its 8 bits, and so its step.
    assert torch.equal(
        before.hidden1.fc.weight_quant.scale(), after.hidden1.fc.weight_quant.scale()
    )
    if "scale" not in changes:
        wanted = least_error_step(after.hidden2.fc.weight.reshape(1, -1), -1, 1)
        torch.testing.assert_close(after.hidden2.fc.weight_quant.scale(), wanted.float().squeeze())
    assert not torch.equal(
        before.hidden2.fc.weight_quant.scale(), after.hidden2.fc.weight_quant.scale()
    )


@pytest.mark.parametrize(
    ("first", "own"),
    [
        ({"activation_bits": "float"}, {}),
        ({"weight_bits": "float"}, {}),
        ({"activation_bits": 2, "weight_bits": 2}, {"weight_bits": 1, "activation_bits": 1}),
        ({"layers": {"hidden2.*": {"weight_bits": 4}}}, {}),
    ],
)
def test_layers_go_from_float_to_bits_and_to_one_bit(recipe, tmp_path, first, own):
    falling = made(recipe, first, None, quantization=own)
    run = load_run(train(falling, tmp_path / "run"))
    bits = own.get("activation_bits", 2)
    assert code_range(run.network.hidden2.act.act_quant) == (0, 2**bits - 1)
    assert code_range(run.network.hidden2.fc.weight_quant) == (-1, 1)
    assert run.summary["accuracy"] > 0.3  # ten classes


def test_learned_thresholds_begin_anew_where_there_are_fewer_codes(recipe, tmp_path):
    learned = {"activation_thresholds": "learned"}
    falling = made(recipe, FOUR, {"weight_bits": 2}, quantization=learned)
    with pytest.raises(ValidationError, match="activation_bits 4"):
        made(recipe, FOUR, {**FOUR, "weight_bits": 2}, quantization=learned)
    before = end_of(train(falling, tmp_path / "run"), falling, 1)
    after = with_fewer_bits(falling, before, load_dataset(falling.data))
    old, new = (learned_thresholds(one.hidden2.act.act_quant) for one in (before, after))
    step = after.hidden2.act.act_quant.scale()
    assert len(old.segments.lengths) == 15
    assert torch.equal(new.segments.lengths, step.expand(3))
    torch.testing.assert_close(3 * step, 15 * before.hidden2.act.act_quant.scale())
    assert load_run(tmp_path / "run").summary["accuracy"] > 0.3


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        ((None, FOUR), "`weight_bits` is 2 in the phase `q0` and 4 in `q1`"),
        ((FOUR, {"weight_bits": "float"}, None), "4 in the phase `q0` and float in `q1`"),
        ((FOUR, FOUR), "the last phase, `q1`, has weight_bits 4, but the recipe's `quantization`"),
        (({"layers": {"hidden2.*": {"weight_bits": 4}}},), "the last phase, `q0`, has layers"),
    ],
)
def test_bits_that_go_up_or_are_not_those_of_the_recipe_are_refused(recipe, bits, words):
    with pytest.raises(ValidationError, match="value_error") as error:
        made(recipe, *bits)
    assert words in str(error.value)


def test_bits_of_a_single_layer_that_go_up_are_refused_before_training(recipe, tmp_path):
    lower = {**FOUR, "layers": {"hidden2.fc": {"weight_bits": 1}}}
    with pytest.raises(RecipeError) as error:
        train(made(recipe, lower, None), tmp_path / "run")
    assert error.value.what == (
        "the phase `q1` has more bits in `hidden2.fc` than the phase before it"
    )
    assert not (tmp_path / "run").exists()
    nowhere = {**FOUR, "layers": {"hidden9.*": {"weight_bits": 3}}}
    with pytest.raises(RecipeError, match="hidden9"):
        train(made(recipe, nowhere, None), tmp_path / "run")


def test_levels_that_are_not_uniform_are_counted_as_levels(recipe):
    """5 bits of APoT reach further than 6 uniform ones, with fewer levels."""
    quantization = {"weight_levels": "apot", "weight_bits": 5}
    check_bits(made(recipe, {"weight_bits": 6}, None, quantization=quantization))


def test_a_retrain_phase_starts_from_float_so_its_bits_may_go_up(recipe):
    phases = [phase.model_dump() for phase in made(recipe, FOUR, None).phases]
    phases[1].update(quantization={"weight_bits": 1})
    phases[2].update(kind="retrain")
    Recipe.model_validate({**recipe.model_dump(), "phases": phases})


def test_float_phases_take_no_bits(recipe):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[0]["quantization"] = FOUR
    with pytest.raises(ValidationError, match="`float` is of kind pretrain, which changes no bit"):
        Recipe.model_validate({**recipe.model_dump(), "phases": phases})
