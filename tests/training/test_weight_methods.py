"""Methods about the codes of weights: what each does to a layer, and whole runs with them."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from qdeploy.quant.layers import LayerFactory
from qdeploy.quant.quantizers import set_step
from qdeploy.quant.step_size import least_error_step
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.quantization import Quantization
from qdeploy.recipe.schedules import TransitionSchedule
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.methods.gradient_scaling import GradientScaling
from qdeploy.training.methods.oscillation import Damping, Freezing, along_cosine
from qdeploy.training.methods.refit import Refit
from qdeploy.training.methods.transitions import TransitionRate
from qdeploy.training.methods.weight_codes import quantized_weights
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train

STEP = 0.25


def layer(bits: int = 2, **changes: object) -> nn.Module:
    """A layer of 2x4 weights with steps of 1/4."""
    quantization = Quantization(weight_bits=bits, **changes)
    made = LayerFactory(quantization, quantized=True).linear("fc", 4, 2)
    shape = made.weight_quant.tensor_quant.scaling_impl.value.numel()
    set_step(made.weight_quant, torch.full((shape,), STEP))
    return made


def put(made: nn.Module, values: list[float]) -> torch.Tensor:
    """Weights in steps."""
    weight = torch.tensor(values).reshape(2, 4) * STEP
    made.weight.data.copy_(weight)
    return weight


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "changes", [{}, {"scale": "power_of_two"}, {"weight_scaling": "per_channel"}]
)
def test_codes_are_those_that_brevitas_computes(bits, changes):
    made = layer(bits, **changes)
    torch.manual_seed(0)
    made.weight.data.normal_()
    (found,) = quantized_weights(made)
    codes = found.codes(found.in_steps())
    assert torch.equal(codes * found.step(), made.quant_weight().value.detach())
    assert found.bits == bits


def test_gradients_are_scaled_by_the_distance_from_the_code():
    made = layer()
    put(made, [0.4, -0.4, 0.6, -0.6, 1.3, -1.3, 0.0, 1.0])
    made.weight.grad = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -2.0]).reshape(2, 4)
    GradientScaling(made, 0.5).before_update(0)
    wanted = [1.2, 0.8, 0.8, 1.2, 1.0, 1.0, 1.0, -2.0]
    torch.testing.assert_close(made.weight.grad.flatten(), torch.tensor(wanted))
    # A gradient of the other sign is scaled the other way.
    made.weight.grad.fill_(-1.0)
    GradientScaling(made, 0.5).before_update(0)
    assert made.weight.grad.flatten()[:2].tolist() == pytest.approx([-0.8, -1.2])


def test_damping_is_the_gradient_of_its_term_and_rises():
    made, factor = layer(), 0.3
    weight = put(made, [0.4, -0.4, 0.6, -0.6, 1.3, -1.3, 0.0, 1.0]).requires_grad_()
    codes = (weight.detach() / STEP).round().clamp(-1, 1)
    term = (weight.clamp(-STEP, STEP) - codes * STEP).square().sum()
    (wanted,) = torch.autograd.grad(term, weight)
    method = Damping(made, factor, 10)
    for step, share in ((0, 0.0), (5, 0.5), (10, 1.0)):
        made.weight.grad = torch.zeros(2, 4)
        method.before_update(step)
        torch.testing.assert_close(made.weight.grad, wanted * factor * share)


def test_a_weight_that_turns_back_too_often_is_frozen_where_it_is_mostly():
    made = layer()
    put(made, [0.6, 0.4, 0.4, 0, 0, 0, 0, 0])
    method = Freezing(made, (0.3, 0.3), 0.2, 100)
    for step in range(12):
        # The first is at 1 two steps of three, the second moves on and stays, the third is still.
        first = 0.4 if step % 3 == 2 else 0.6
        put(made, [first, 0.6 if step > 3 else 0.4, 0.4, 0, 0, 0, 0, 0])
        method.after_update(step)
    assert method.tensors()["oscillation//frozen"].flatten().tolist() == [True, *[False] * 7]
    put(made, [-0.9, -0.9, 0.4, 0, 0, 0, 0, 0])
    method.after_update(12)
    assert made.weight.flatten().tolist() == pytest.approx(
        [STEP, -0.9 * STEP, 0.4 * STEP, *[0] * 5]
    )
    again = Freezing(made, (0.3, 0.3), 0.2, 100)
    again.restore(method.tensors())
    put(made, [0.0] * 8)
    again.after_update(13)
    assert made.weight.flatten()[0] == STEP


def test_steps_are_chosen_anew_after_every_few_epochs():
    made = layer()
    torch.manual_seed(0)
    made.weight.data.normal_()
    method = Refit(made, Quantization(), 2)
    for epoch in (0, 1):
        method.begin_epoch(epoch)
        assert made.weight_quant.scale().item() == pytest.approx(STEP)
    method.begin_epoch(2)
    wanted = least_error_step(made.weight.reshape(1, -1), -1, 1)
    assert made.weight_quant.scale().item() == pytest.approx(float(wanted))


def test_the_rate_follows_the_share_of_codes_that_change():
    made = layer()
    settings = TransitionSchedule(type="transition", factor=0.1, gain=2.0, momentum=0.5)
    method = TransitionRate(made, settings, 0.01, 10)
    optimizer = torch.optim.SGD([{"params": [made.weight]}, {"params": []}], lr=0.7)
    put(made, [0.0] * 8)
    method.begin_epoch(0)
    assert method.rate(optimizer, 0, 0.7) == 0.01
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.7]
    first = 0.1 * math.sqrt(2)
    seen, rate = first, 0.01
    for step, changed in enumerate((0, 2, 3, 0)):
        put(made, [1.0 if index < changed else 0.0 for index in range(8)])
        method.after_update(step)
        codes = {0: 0, 1: 2, 2: 1, 3: 3}[step]  # of 8, against the step before
        seen = 0.5 * seen + 0.5 * codes / 8
        rate = max(0.0, rate + 2.0 * (along_cosine(first, 0.0, step / 10) - seen))
        assert method.rate(optimizer, step + 1, 0.7) == pytest.approx(rate)


def test_only_weights_of_few_bits_count_where_there_are_any():
    both = nn.Sequential(layer(8), layer(2))
    settings = TransitionSchedule(type="transition")
    method = TransitionRate(both, settings, 0.01, 10)
    method.begin_epoch(0)
    both[0].weight.data.neg_()
    method.after_update(0)
    assert method.tensors()["transitions"][0] < settings.factor * math.sqrt(2)  # none changed


EVERYTHING = {
    "refit_epochs": 1,
    "average_epochs": 2,
    "oscillation": {"damping": 0.01, "freeze": 0.02, "freeze_start": 0.1, "momentum": 0.1},
}


def run_with(recipe: Recipe, quantization: dict[str, object], **changes: object) -> Recipe:
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1].update(changes)
    values = {**recipe.model_dump(), "phases": phases, "quantization": quantization}
    return Recipe.model_validate(values)


@pytest.mark.parametrize(
    ("quantization", "changes"),
    [
        ({"weight_gradient_scaling": 0.2}, EVERYTHING),
        ({}, {"schedule": {"type": "transition", "factor": 0.01}, "average_epochs": 1}),
        ({"weight_bits": 1}, {**EVERYTHING, "schedule": {"type": "transition"}}),
        ({"weight_step": "learned"}, {**EVERYTHING, "refit_epochs": 0}),
    ],
)
def test_runs_resume_to_the_same_bits(recipe, tmp_path, interrupt_when, quantization, changes):
    wanted = run_with(recipe, quantization, **changes)
    whole = train(wanted, tmp_path / "whole")
    plain = train(run_with(recipe, {**quantization, "weight_gradient_scaling": 0}), tmp_path / "p")
    assert (whole / MODEL).read_bytes() != (plain / MODEL).read_bytes()
    for epoch in (1, 2):
        folder = tmp_path / f"broken{epoch}"
        interrupt_when(folder / "checkpoints" / f"phase01-epoch0000{epoch}.json")
        with pytest.raises(KeyboardInterrupt):
            train(wanted, folder)
        train(wanted, folder, resume=True)
        assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert load_run(whole).summary["accuracy"] > 0.3  # ten classes
    assert [row.loss for row in read_metrics(whole)][:2] == [
        row.loss for row in read_metrics(plain)
    ][:2]


def test_a_phase_ends_with_the_mean_of_its_last_epochs(recipe, tmp_path):
    """The third epoch starts from the network after the second, whatever is averaged."""
    ends = {}
    for average in (0, 2):
        changes = {"average_epochs": average, "recalibrate": 0}
        folder = train(run_with(recipe, {}, **changes), tmp_path / str(average))
        ends[average] = read_tensors(folder / "checkpoints" / "phase01-epoch00003.safetensors")[0]
    two = run_with(recipe, {}, epochs=2, recalibrate=0)
    second = read_tensors(
        train(two, tmp_path / "two") / "checkpoints" / "phase01-epoch00002.safetensors"
    )[0]
    for name, mean in ends[2].items():
        if name.startswith("network/") and mean.is_floating_point():
            torch.testing.assert_close(mean, (ends[0][name] + second[name]) / 2)


@pytest.mark.parametrize(
    ("quantization", "changes", "words"),
    [
        (
            {"weight_step": "learned"},
            {"refit_epochs": 1},
            "needs weight steps that are not learned",
        ),
        (
            {"weight_step": "learned"},
            {"schedule": {"type": "transition"}},
            "`schedule: transition` of the phase `retrain` needs weight steps",
        ),
        ({"weight_normalization": "entropy"}, {"refit_epochs": 1}, "steps follow the weights"),
        ({"weight_bits": "float"}, {"oscillation": {"damping": 0.1}}, "weight_bits` is float"),
        ({"weight_bits": "float", "weight_gradient_scaling": 0.1}, {}, "about codes of weights"),
        ({}, {"average_epochs": 4}, "cannot average 4 epochs, for it has 3"),
        ({}, {"average_epochs": 1, "ema": 0.9}, "has two averages of its weights"),
        ({}, {"oscillation": {"freeze_start": 0.1}}, "`freeze_start` needs `freeze`"),
        ({}, {"oscillation": {"freeze_start": 0.1, "freeze": 0.2}}, "is below `freeze`"),
        (
            {},
            {"schedule": {"type": "transition"}, "warmup_epochs": 1},
            "a transition schedule, which finds the rate by itself",
        ),
    ],
)
def test_methods_that_exclude_each_other_are_refused(recipe, quantization, changes, words):
    with pytest.raises(ValidationError) as error:
        run_with(recipe, quantization, **changes)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [{"refit_epochs": 1}, {"oscillation": {"freeze": 0.1}}, {"schedule": {"type": "transition"}}],
)
def test_float_training_has_no_codes(recipe, changes):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[0].update(changes)
    with pytest.raises(ValidationError, match="for phases that train quantized weights"):
        Recipe.model_validate({**recipe.model_dump(), "phases": phases})
