"""Many seeds at once are what each is alone, apart from how sums round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.quant.direct import Direct
from qdeploy.quant.native_norm import Normalize, affine
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.shipped import recipe_file
from qdeploy.training.batches import Batching, training_batches
from qdeploy.training.checkpoints import CheckpointFolder
from qdeploy.training.group import phase as group_phase
from qdeploy.training.group.eligible import group_key, why_alone
from qdeploy.training.group.lipschitz import GroupedLipschitz
from qdeploy.training.group.stacked import Stacked
from qdeploy.training.group.train import train_group
from qdeploy.training.lipschitz import LipschitzTerm
from qdeploy.training.metrics import read_metrics
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.run import load_run, recipe_digest
from qdeploy.training.train import train

SMALL = ("network.width=8", "training.epochs=2", "data.batch_size=1024")


def recipe(seed: int, *changes: str, name: str = "fcdnn128-4_residual_w2a2") -> Recipe:
    return load_recipe(recipe_file(Path(f"boo2020/{name}")), [*SMALL, f"seed={seed}", *changes])


def networks(recipes: list[Recipe], *, quantized: bool) -> list[nn.Module]:
    dataset = load_dataset(recipes[0].data, None)
    found = [trainable(one, quantized=False) for one in recipes]
    if quantized:
        pairs = zip(recipes, found, strict=True)
        found = [quantized_from(one, network, dataset) for one, network in pairs]
        for network in found:
            fix_weight_steps(network)
    return found


@pytest.mark.parametrize("name", ["fcdnn128-4_residual_w2a2", "fcdnn128-4_w2a2"])
@pytest.mark.parametrize(
    "changes",
    [
        None,
        (),
        ("quantization.activation_bits=float",),
        ("quantization.weight_bits=float",),
        ("quantization.weight_bits=3", "quantization.weight_levels=all"),
    ],
)
def test_logits_and_gradients_of_a_step_are_those_of_each_network(
    name: str, changes: tuple[str, ...] | None
) -> None:
    recipes = [recipe(seed, *(changes or ()), name=name) for seed in (3, 4, 5)]
    members = networks(recipes, quantized=changes is not None)
    dataset = load_dataset(recipes[0].data, None)
    batches = [next(training_batches(dataset, Batching.of(one), 0, 0)) for one in recipes]
    stack = Stacked(members)
    together = stack.train(torch.stack([inputs.flatten(1) for inputs, _ in batches]))
    labels = torch.stack([labels for _, labels in batches])
    losses = [F.cross_entropy(one, want) for one, want in zip(together, labels, strict=True)]
    torch.stack(losses).sum().backward()
    for index, (network, (inputs, wanted)) in enumerate(zip(members, batches, strict=True)):
        network.train()
        with Direct(network):
            logits = network(inputs)
            F.cross_entropy(logits, wanted).backward()
        torch.testing.assert_close(together[index], logits, rtol=1e-4, atol=1e-5)
        for key, parameter in network.named_parameters():
            if parameter.grad is not None:
                own = stack.parameters[key].grad
                assert own is not None
                torch.testing.assert_close(own[index], parameter.grad, rtol=1e-3, atol=1e-5)
        for key, value in network.state_dict().items():
            torch.testing.assert_close(stack.state[key][index].detach(), value)


@given(
    st.integers(1, 3), st.integers(2, 40), st.integers(1, 40), st.booleans(), st.integers(0, 999)
)
@settings(max_examples=40, deadline=None)
def test_norms_are_those_of_torch(
    networks: int, rows: int, units: int, relu: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(networks, rows, units, generator=draw) * 3 + 1
    gain, offset = torch.randn(2, networks, units, generator=draw)
    grad = torch.randn(networks, rows, units, generator=draw)
    ours = [one.clone().requires_grad_() for one in (x, gain, offset)]
    y, mean, var = Normalize.apply(*ours, 1e-5, relu)
    y.backward(grad)
    # In double precision, and with our own mask: values beside 0 may round to either side of it.
    exact = [one.double().requires_grad_() for one in (x, gain, offset)]
    centred = exact[0] - exact[0].mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True)
    wanted = centred / (spread + 1e-5).sqrt() * exact[1][:, None] + exact[2][:, None]
    mask = (y > 0) if relu else torch.ones_like(y)
    (wanted * mask).backward(grad.double())
    # Differences of nearly equal rows keep fewer digits, which small deviations then enlarge.
    with torch.no_grad():
        deviation = (spread + 1e-5).sqrt().float()
        largest = x.abs().amax(1, keepdim=True)
        rounding = 1e-6 * (1 + largest / deviation)
        gradients = grad.abs().sum(1, keepdim=True)
        of_x = rounding * gradients * (1 + gain.abs()[:, None] / deviation)
        of_gain = (rounding * gradients * rows**0.5)[:, 0]
        allowed = (of_x, of_gain, 1e-6 * gradients[:, 0])
        assert ((y - wanted * mask).abs() <= 4 * rounding * (1 + gain.abs()[:, None])).all()
        torch.testing.assert_close(mean, x.mean(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(var, x.var(1, correction=0), rtol=1e-4, atol=1e-5)
    for one, other, most in zip(ours, exact, allowed, strict=True):
        assert one.grad is not None and other.grad is not None
        assert ((one.grad - other.grad).abs() <= most).all()
    plain = x * gain[:, None] + offset[:, None]
    wanted_plain = plain.relu() if relu else plain
    torch.testing.assert_close(affine(x, gain, offset, relu=relu), wanted_plain)


@pytest.mark.parametrize("inner", [False, True])
def test_the_lipschitz_term_is_that_of_each_network(inner: bool) -> None:
    members = networks([recipe(seed) for seed in (1, 2)], quantized=False)
    stack = Stacked(members)
    weights = [layer.weight for layer in stack.layers]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    term = GroupedLipschitz(weights, inner=inner)
    found = term.add_gradient(0.5)
    shares = term.shares(0.5, [weight.grad for weight in weights if weight.grad is not None])
    for index, network in enumerate(members):
        own = [one.weight for one in network.modules() if isinstance(one, nn.Linear)]
        for weight in own:
            weight.grad = torch.ones_like(weight)
        alone = LipschitzTerm(network, inner=inner)
        torch.testing.assert_close(found[index], alone.add_gradient(0.5))
        assert float(shares[index]) == pytest.approx(alone.share(0.5, own), rel=1e-4)
        for weight, stacked in zip(own, weights, strict=True):
            assert stacked.grad is not None
            torch.testing.assert_close(stacked.grad[index], weight.grad)


def test_run_folders_are_those_of_trainings_alone(tmp_path: Path) -> None:
    changes = ("phases.retrain.lipschitz=1e-4", "phases.retrain.recalibrate=1024")
    recipes = [recipe(seed, *changes) for seed in (0, 7)]
    folders = {tmp_path / str(one.seed): one for one in recipes}
    assert train_group(folders) is None
    for folder, one in folders.items():
        train(one, folder, resume=True)
        alone = train(one, tmp_path / f"alone{one.seed}")
        ours, others = read_metrics(folder), read_metrics(alone)
        assert [row.position for row in ours] == [row.position for row in others]
        for row, other in zip(ours[:2], others[:2], strict=True):  # in float
            assert row.loss == pytest.approx(other.loss, abs=1e-4)
            assert row.lr == other.lr
        run = load_run(folder)
        assert run.summary["group"] == {"seeds": [0, 7]}
        assert "group" not in load_run(alone).summary
        kept = [path.name for path in CheckpointFolder(folder / "checkpoints").paths()]
        assert kept == [path.name for path in CheckpointFolder(alone / "checkpoints").paths()]


@pytest.mark.parametrize("optimizer", ["{lr: 0.01}", "{type: adam, lr: 0.001}"])
def test_an_interrupted_group_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr(group_phase, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    changes = ("training.epochs=3", f"phases.retrain.optimizer={optimizer}")
    recipes = [recipe(seed, *changes) for seed in (0, 1)]
    whole = {tmp_path / "whole" / str(one.seed): one for one in recipes}
    cut = {tmp_path / "cut" / str(one.seed): one for one in recipes}
    assert train_group(whole) is None
    train_group(cut)
    for folder, one in cut.items():
        # Killed when the second epoch of retraining was written for one of them.
        lost = ["phase01-epoch00003", *["phase01-epoch00002"] * one.seed]
        for stem in lost:
            (folder / "checkpoints" / f"{stem}.safetensors").unlink()
    assert train_group(cut) is None
    for one in recipes:
        ends = [
            CheckpointFolder(tmp_path / kind / str(one.seed) / "checkpoints")
            .end_of(1, recipe_digest(one))
            .tensors
            for kind in ("whole", "cut")
        ]
        assert ends[0].keys() == ends[1].keys()
        assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
        rows = [read_metrics(tmp_path / kind / str(one.seed)) for kind in ("whole", "cut")]
        assert [row.loss for row in rows[0]] == [row.loss for row in rows[1]]


def test_a_group_with_numbers_that_are_not_finite_says_so(tmp_path: Path) -> None:
    changes = ("phases.float.optimizer.lr=100", "phases.float.lipschitz=1000")
    wild = [recipe(seed, *changes, "training.epochs=30") for seed in (0, 1)]
    why = train_group({tmp_path / str(one.seed): one for one in wild})
    assert why == "a number of one of the trainings is no longer finite"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("phases.retrain.ema=0.9", "phases.retrain.ema"),
        ("quantization.scale=power_of_two", "quantization.scale"),
        ("data.validation=0.1", "data.validation"),
        ("training.device=auto", "training.device"),
    ],
)
def test_what_a_group_cannot_do_is_trained_alone(change: str, key: str) -> None:
    assert why_alone(recipe(0, change)) == key
    assert group_key(recipe(0, change)) is None


def test_only_the_seed_may_differ() -> None:
    assert group_key(recipe(0)) == group_key(recipe(1)) != group_key(recipe(1, "network.width=9"))
