"""Channel pruning: how gates close, what a run becomes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.networks.channels import Channels
from qdeploy.networks.fewer_channels import layer_channels
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.pruning import Pruning
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.float_network import load_float
from qdeploy.training.methods.pruning import Gates, GateTraining, chosen, largest
from qdeploy.training.metrics import read_metrics
from qdeploy.training.pruned import check_network, without_closed_channels
from qdeploy.training.quantize import calibration_images
from qdeploy.training.restored import restored
from qdeploy.training.run import MODEL, SUMMARY, load_run
from qdeploy.training.train import train

PRUNING = {"target": 0.5, "multiple_of": 4}
FLOAT = {"name": "prune", "kind": "pretrain", "epochs": 2, "pruning": PRUNING}
QUANTIZED = {"name": "prune", "kind": "retrain", "epochs": 2, "pruning": PRUNING}
TUNE = {"name": "tune", "kind": "finetune", "epochs": 2, "optimizer": {"lr": 0.01}}


def in_float(recipe: Recipe, changes: dict[str, object] | None = None, **values: object) -> Recipe:
    """The recipe with a phase that prunes after its float phase."""
    first, *rest = (phase.model_dump() for phase in recipe.phases)
    phases = [first, {**FLOAT, **(changes or {})}, *rest]
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases, **values})


def in_bits(recipe: Recipe, *rest: dict[str, object], **values: object) -> Recipe:
    """The recipe's float phase, a retrain phase that prunes, and others."""
    phases = [recipe.phases[0].model_dump(), QUANTIZED, *(rest or (TUNE,))]
    return Recipe.model_validate({**recipe.model_dump(), "phases": phases, **values})


def channels(*groups: int, fixed: int = 0) -> Channels:
    """Layers with so many channels each, the first of them with `fixed` others."""
    numbers = torch.repeat_interleave(torch.arange(len(groups)), torch.tensor(groups))
    removable = torch.ones(len(numbers), dtype=torch.bool)
    removable[:fixed] = False
    return Channels(len(numbers), {}, frozenset(), {}, removable, numbers)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 13), min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 6),
    st.floats(0.05, 0.95),
    st.integers(0, 2),
    st.integers(0, 2**16),
)
def test_layers_keep_a_multiple_and_enough_and_lose_their_smallest_gates(
    groups, multiple, least, target, fixed, seed
):
    known = channels(*groups, fixed=min(fixed, groups[0]))
    sizes = torch.rand(known.count, generator=torch.Generator().manual_seed(seed))
    sizes[::3] = 0.0
    wanted = Pruning(target=target, multiple_of=multiple, min_channels=least)
    closed = chosen(sizes, known, wanted, target)
    kept = largest(sizes, known, wanted)
    assert not (closed & ~known.removable).any()
    assert not (closed & kept).any()
    for number, count in enumerate(groups):
        own = known.groups == number
        left = int((own & ~closed).sum())
        assert left == count or left % multiple == 0
        assert left >= min(count, least)
        lost, open_ = sizes[own & closed], sizes[own & ~closed & known.removable]
        assert not len(lost) or not len(open_) or lost.max() <= open_.min()
    most = int(chosen(sizes, known, wanted, 1.0).sum())
    assert closed.sum() >= min(most, target * int(known.removable.sum()))
    # What is removed when the network is read again: exactly these.
    again = chosen(torch.where(closed, 0.0, sizes.clamp_min(0.1)), known, wanted, 0.0)
    assert torch.equal(again, closed)


class Tied(nn.Module):
    """Two norms on the same two channels, and one on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)


TIED = Channels(
    4,
    {},
    frozenset(),
    {"a": torch.tensor([0, 1]), "b": torch.tensor([1, 0]), "c": torch.tensor([2, 3])},
    torch.tensor([True, True, True, False]),
    torch.tensor([0, 0, 1, 1]),
)


def test_a_gate_is_all_norms_on_a_channel_and_shrinks_by_the_formula():
    network = Tied()
    network.a.weight.data, network.a.bias.data = torch.tensor([3.0, 2.0]), torch.tensor([0.0, 4.0])
    network.b.weight.data, network.b.bias.data = torch.tensor([4.0, 4.0]), torch.tensor([8.0, 5.0])
    gates = Gates(network, TIED)
    first = ((9 + 0 + 16 + 25) / 4) ** 0.5
    second = ((4 + 16 + 16 + 64) / 4) ** 0.5
    torch.testing.assert_close(gates.sizes(), torch.tensor([first, second, 0.5**0.5, 0.5**0.5]))
    method = GateTraining(network, TIED, Pruning(target=0.9, penalty=6.0), rates=3.0)
    method.begin_epoch(0)
    method.rate(torch.optim.SGD(network.parameters(), lr=0.5), 0, 0.5)
    method.after_update(0)
    # η·λ = 0.5 · 6 / 3 = 1; the largest of the first two is left alone, and one of the others.
    torch.testing.assert_close(network.a.weight, torch.tensor([3 * (1 - 1 / first), 2.0]))
    torch.testing.assert_close(network.b.bias, torch.tensor([8.0, 5 * (1 - 1 / first)]))
    assert network.c.weight.tolist() == [0.0, 1.0]
    # Closed for good, whatever momentum makes of it.
    network.c.weight.data[0] = 0.7
    method.after_update(1)
    assert network.c.weight.tolist() == [0.0, 1.0]


def test_the_penalty_ends_when_enough_gates_are_closed():
    network = Tied()
    method = GateTraining(network, TIED, Pruning(target=0.3, penalty=9.0), rates=1.0)
    method.begin_epoch(0)
    method.rate(torch.optim.SGD(network.parameters(), lr=1.0), 0, 0.1)
    method.after_update(0)  # 0.9 in one step: all that may close
    assert int((Gates(network, TIED).sizes() == 0).sum()) == 2
    network.a.weight.data.fill_(0.5)
    before = network.b.weight.detach().clone()
    method.after_update(1)
    assert torch.equal(network.b.weight, before)


@pytest.mark.parametrize("made", [in_float, in_bits])
def test_a_run_goes_on_with_fewer_channels_and_resumes_to_the_same_bits(
    made, recipe, tmp_path, interrupt_when
):
    wanted = made(recipe)
    whole = train(wanted, tmp_path / "whole")
    summary = json.loads((whole / SUMMARY).read_text())
    run = load_run(whole)
    assert summary["channels"] == layer_channels(run.network)
    left = [run.network.hidden1.fc.out_features, run.network.hidden2.fc.out_features]
    assert sum(left) <= 16 and all(one % 4 == 0 for one in left)
    assert summary["accuracy"] > 0.3  # ten classes
    _, floating = load_float(whole)
    count = left if made is in_float else [16, 16]
    assert [floating.hidden1.fc.out_features, floating.hidden2.fc.out_features] == count
    # Killed while gates are trained, when they are closed, and after channels are gone.
    for name in ("phase01-epoch00001", "phase01-epoch00002", "phase02-epoch00001"):
        broken = tmp_path / name
        interrupt_when(broken / "checkpoints" / f"{name}.json")
        with pytest.raises(KeyboardInterrupt):
            train(wanted, broken)
        train(wanted, broken, resume=True)
        assert (broken / MODEL).read_bytes() == (whole / MODEL).read_bytes(), name
    other = train(wanted.model_copy(update={"name": "other"}), tmp_path / "o", warm_start=whole)
    assert (other / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_without_closed_channels_a_trained_network_gives_the_same_logits(recipe, tmp_path):
    """Sums of power-of-two grids are exact in float32."""
    wanted = in_bits(recipe, quantization={"scale": "power_of_two"})
    folder = train(wanted, tmp_path / "run")
    tensors, _ = read_tensors(folder / "checkpoints" / "phase01-epoch00002.safetensors")
    closed = restored(wanted, tensors, quantized=True).eval()
    images, labels = calibration_images(load_dataset(wanted.data), seed=0, input_bits=8)
    narrow = without_closed_channels(wanted, Pruning(**PRUNING), closed, quantized=True).eval()
    assert narrow.hidden1.fc.out_features < closed.hidden1.fc.out_features == 16
    with torch.no_grad():
        logits = closed(images)
        assert torch.equal(narrow(images), logits)
    assert (logits.argmax(1) == labels).float().mean() > 0.3


def test_with_a_validation_split_gates_are_trained_until_the_end(recipe, tmp_path):
    data = {**recipe.data.model_dump(), "validation": 0.2}
    folder = train(in_float(recipe, {"epochs": 4}, data=data), tmp_path / "run")
    kept = {row.phase: row.kept_epoch for row in read_metrics(folder)}
    assert kept["prune"] == 4
    assert load_run(folder).summary["protocol"]["keep"] == "best"


def test_averages_and_fewer_bits_go_with_pruning(recipe, tmp_path):
    four = {"weight_bits": 4, "activation_bits": 4}
    wanted = in_bits(recipe).model_dump()
    wanted["phases"][1] |= {"quantization": four, "ema": 0.9}
    run = load_run(train(Recipe.model_validate(wanted), tmp_path / "run"))
    assert run.network.hidden2.fc.out_features < 16


def test_a_pruned_network_learns_from_its_own_float_network_and_teaches_others(recipe, tmp_path):
    first, *rest = (phase.model_dump() for phase in in_float(recipe).phases)
    rest[1]["distillation"] = {"features": 0.1}
    pruned = Recipe.model_validate({**recipe.model_dump(), "phases": [first, *rest]})
    teacher = train(pruned, tmp_path / "teacher")
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1]["distillation"] = {"teacher": str(teacher)}
    learner = Recipe.model_validate({**recipe.model_dump(), "phases": phases})
    assert train(learner, tmp_path / "learner").exists()
    phases[1]["distillation"]["features"] = 0.1
    compared = Recipe.model_validate({**recipe.model_dump(), "phases": phases})
    with pytest.raises(RecipeError, match="was pruned, so its features cannot be compared"):
        train(compared, tmp_path / "compared")


def test_weights_of_another_recipe_are_not_taken_for_a_pruned_network(recipe, tmp_path):
    folder = train(in_float(recipe), tmp_path / "run")
    stored = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(stored.replace("width: 16", "width: 2"))
    summary = json.loads((folder / SUMMARY).read_text())
    del summary["files"]
    (folder / SUMMARY).write_text(json.dumps(summary))
    with pytest.raises(CheckpointError, match="do not belong to the recipe"):
        load_run(folder)


@pytest.mark.parametrize("target", [0, 1, -0.5])
def test_a_target_of_nothing_or_all_is_refused(recipe, target):
    with pytest.raises(ValidationError, match="target"):
        in_float(recipe, {"pruning": {"target": target}})


def phases_of(*kinds: str, **changes: dict[str, object]) -> list[dict[str, object]]:
    """Phases named as their kinds, with changes by name."""
    made = []
    for kind in kinds:
        epochs = {} if kind in ("direct", "recalibrate") else {"epochs": 2}
        made.append({"name": kind, "kind": kind, **epochs, **changes.get(kind, {})})
    return made


P = {"pruning": PRUNING}
F = {"distillation": {"features": 0.1}}
RUN = {"distillation": {"features": 0.1, "teacher": "runs/other"}}


@pytest.mark.parametrize(
    ("phases", "quantization", "sentence"),
    [
        (phases_of("pretrain", "retrain", retrain=P), {}, "`retrain` prunes, and no phase trains"),
        (phases_of("pretrain", "direct", pretrain=P), {}, "`pretrain` prunes, and no phase trains"),
        (phases_of("pretrain", "direct", "retrain", direct=P), {}, "direct, which does not train"),
        (
            [*phases_of("pretrain", "retrain", retrain=P), {**QUANTIZED, "pruning": None}],
            {},
            "`prune` starts from the float network, which has all the channels that `retrain`",
        ),
        (
            phases_of("pretrain", "retrain", pretrain={**P, "patience": 3}),
            {},
            "`patience` would end it by an accuracy without pruning",
        ),
        (
            phases_of("pretrain", "retrain", "finetune", retrain=P),
            {"activation_thresholds": "learned"},
            "a channel whose gate is closed is not zero",
        ),
        (
            phases_of("pretrain", "retrain", pretrain=P, retrain=RUN),
            {},
            "`distillation.features` of the phase `retrain` compares channels",
        ),
        (
            phases_of("pretrain", "retrain", "finetune", retrain=P, finetune=F),
            {},
            "`distillation.features` of the phase `finetune` compares channels",
        ),
    ],
)
def test_pruning_that_makes_no_sense_is_refused_with_its_reason(
    recipe, phases, quantization, sentence
):
    data = {**recipe.data.model_dump(), "validation": 0.2}
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(
            {
                **recipe.model_dump(),
                "data": data,
                "phases": phases,
                "quantization": quantization,
            }
        )
    assert sentence in str(caught.value)


def test_a_target_that_would_empty_layers_is_refused_before_training(recipe, tmp_path: Path):
    wanted = in_float(recipe, {"pruning": {"target": 0.9, "multiple_of": 8}})
    with pytest.raises(RecipeError) as caught:
        train(wanted, tmp_path / "run")
    assert caught.value.what == (
        "the target 0.9 of `prune` would empty layers: at most 16 of 32 channels can be removed, "
        "a share of 0.50"
    )
    assert caught.value.where == "phases.prune.pruning.target"
    assert not (tmp_path / "run").exists()
    check_network(in_float(recipe, {"pruning": {"target": 0.5, "multiple_of": 8}}))
