"""Direct quantization, recalibration and retraining in one run."""

import pytest
import torch
from torch import nn

from qdeploy.quant.quantizers import tensor_quantizer
from qdeploy.quant.step_size import least_error_step
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.methods.recalibrate import recalibrate
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train

FLOAT = {"name": "float", "kind": "pretrain", "epochs": 12}
DIRECT = {"name": "direct", "kind": "direct"}
NORMS = {"name": "norms", "kind": "recalibrate", "images": 512}
RETRAIN = {"name": "retrain", "kind": "retrain", "epochs": 2, "optimizer": {"lr": 0.01}}


def with_phases(recipe: Recipe, *phases: dict, **quantization: object) -> Recipe:
    values = {**recipe.model_dump(), "phases": list(phases), "quantization": quantization}
    return Recipe.model_validate(values)


def test_one_run_compares_float_direct_recalibrated_and_retrained(recipe, tmp_path):
    folder = train(with_phases(recipe, FLOAT, DIRECT, NORMS, RETRAIN), tmp_path / "run")
    phases = {phase["name"]: phase for phase in load_run(folder).summary["phases"]}
    assert list(phases) == ["float", "direct", "norms", "retrain"]
    accuracy = {name: phase["accuracy"] for name, phase in phases.items()}
    assert accuracy["direct"] < accuracy["retrain"] < accuracy["float"]
    assert accuracy["direct"] != accuracy["norms"]
    assert phases["direct"]["epochs"] == phases["norms"]["epochs"] == 0


def test_retraining_starts_from_float_whatever_was_tried_before_it(recipe, tmp_path):
    still = {**RETRAIN, "epochs": 1, "optimizer": {"lr": 1e-12}}
    short = {**FLOAT, "epochs": 2}
    folder = train(with_phases(recipe, short, DIRECT, NORMS, still), tmp_path / "run")
    floating, _ = read_tensors(folder / "checkpoints" / "phase00-epoch00002.safetensors")
    network = load_run(folder).network
    torch.testing.assert_close(network.hidden2.fc.weight, floating["network/hidden2.fc.weight"])
    assert len(list((folder / "checkpoints").glob("*.safetensors"))) == 2


def test_direct_quantization_is_the_float_network_with_steps_of_least_error(recipe, tmp_path):
    folder = train(with_phases(recipe, FLOAT, DIRECT, weight_bits=3), tmp_path / "run")
    run = load_run(folder)
    weight = run.network.hidden2.fc.weight.detach()
    step = run.network.hidden2.fc.weight_quant.scale()
    wanted = least_error_step(weight.reshape(1, -1), -3, 3)
    torch.testing.assert_close(step.reshape(1).double(), wanted, rtol=1e-5, atol=0)
    row = read_metrics(folder)[-1]
    assert row.kind == "direct"
    assert run.summary["accuracy"] == pytest.approx(row.accuracy, abs=0.02)


def test_a_run_interrupted_after_direct_quantization_resumes_to_the_same_bits(
    recipe, tmp_path, interrupt_when
):
    phases = with_phases(
        recipe, {**FLOAT, "epochs": 1}, DIRECT, NORMS, RETRAIN, NORMS | {"name": "n"}
    )
    whole = train(phases, tmp_path / "whole")
    for moment in ("phase00-epoch00001", "phase03-epoch00001"):
        folder = tmp_path / moment
        interrupt_when(folder / "checkpoints" / f"{moment}.json")
        with pytest.raises(KeyboardInterrupt):
            train(phases, folder)
        train(phases, folder, resume=True)
        assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
        names = [(row.phase, row.epoch) for row in read_metrics(folder)]
        assert names == [(row.phase, row.epoch) for row in read_metrics(whole)]


def test_methods_are_compared_in_one_run_each_from_the_same_float_network(
    recipe, tmp_path, interrupt_when
):
    methods = {"name": "methods", "lipschitz": 1e-4}
    cycles = {"name": "cycles", "kind": "finetune", "epochs": 1, "optimizer": {"lr": 1e-3}}
    both = with_phases(recipe, {**FLOAT, "epochs": 2}, RETRAIN, RETRAIN | methods, cycles)
    whole = train(both, tmp_path / "both")
    alone = train(
        with_phases(recipe, {**FLOAT, "epochs": 2}, RETRAIN | methods, cycles), tmp_path / "alone"
    )
    # Phases differ in their order of images; the start is the same.
    first = [next(r for r in read_metrics(f) if r.phase == "methods") for f in (whole, alone)]
    assert first[0].loss == pytest.approx(first[1].loss, rel=0.05)
    broken = tmp_path / "broken"
    interrupt_when(broken / "checkpoints" / "phase01-epoch00001.json")
    with pytest.raises(KeyboardInterrupt):
        train(both, broken)
    train(both, broken, resume=True)
    assert (broken / MODEL).read_bytes() == (whole / MODEL).read_bytes()


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["pretrain", "retrain", "pretrain"], "order of phases is pretrain, then one direct"),
        (["pretrain", "direct", "direct"], "order of phases is pretrain, then one direct"),
        (["pretrain", "retrain", "direct"], "order of phases is pretrain, then one direct"),
        (["pretrain", "direct", "finetune", "retrain"], "needs a retrain phase before it"),
        (["retrain"], "needs a float network"),
        (["pretrain"], "no phase quantizes the network"),
        (["pretrain", "recalibrate", "direct"], "needs the quantized network"),
    ],
)
def test_phases_in_an_order_without_sense_are_refused(recipe, kinds, words):
    epochs = {"pretrain": 1, "retrain": 1, "finetune": 1}
    phases = [
        {"name": f"p{i}", "kind": kind, "epochs": epochs.get(kind, 0)}
        for i, kind in enumerate(kinds)
    ]
    with pytest.raises(ValueError, match=words):
        with_phases(recipe, *phases)


def test_fixed_steps_stay_and_learned_ones_move(recipe, tmp_path):
    moved = {}
    for kind in ("fixed", "learned"):
        steps = []
        for phase in (DIRECT, RETRAIN):
            made = with_phases(recipe, {**FLOAT, "epochs": 2}, phase, weight_step=kind)
            run = load_run(train(made, tmp_path / f"{kind}-{phase['name']}"))
            proxy = run.network.hidden2.fc.weight_quant
            steps.append(tensor_quantizer(proxy).scaling_impl.value.item())
        moved[kind] = steps[0] != steps[1]
    assert moved == {"fixed": False, "learned": True}


@pytest.mark.parametrize(
    "quantization",
    [
        {"weight_bits": 2, "activation_bits": "float"},
        {"weight_bits": "float", "activation_bits": 2},
        {"weight_bits": "float", "activation_bits": "float"},
        {"weight_bits": 1, "activation_bits": 4, "last_layer_bits": 1},
        {"weight_bits": 2, "weight_levels": "all", "activation_bits": 2},
        {"weight_bits": 3, "activation_bits": 3, "clip_gradient": "pact"},
    ],
)
def test_every_pair_of_widths_retrains(recipe, tmp_path, quantization):
    made = with_phases(recipe, FLOAT, DIRECT, {**RETRAIN, "epochs": 4}, **quantization)
    run = load_run(train(made, tmp_path / "run"))
    assert run.summary["accuracy"] > 0.5
    if quantization["activation_bits"] == quantization["weight_bits"] == "float":
        direct = run.summary["phases"][1]["accuracy"]
        assert direct == run.summary["phases"][0]["accuracy"]


def test_recalibrated_statistics_are_those_of_all_images():
    norm = nn.BatchNorm2d(3)
    batches = [torch.randn(8, 3, 5, 5) * scale + scale for scale in (1.0, 2.0, 5.0)]
    assert recalibrate(norm.eval(), lambda: batches) == 24
    every = torch.cat(batches)
    torch.testing.assert_close(norm.running_mean, every.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, every.var((0, 2, 3), correction=0))
    assert norm.momentum == 0.1
    assert not norm.training
    assert recalibrate(norm, list) == 0
    torch.testing.assert_close(norm.running_mean, every.mean((0, 2, 3)))


class Step(nn.Module):
    def forward(self, x):
        return (x > 0.5).float()


def two_steps():
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(2) for _ in range(3)]
    return nn.Sequential(norms[0], Step(), nn.Conv2d(2, 2, 3), norms[1], Step(), norms[2]).eval()


def test_each_norm_is_recalibrated_behind_those_that_are_deployed():
    """Where a batch is normalized by its own statistics, a norm behind a threshold sees others."""
    batches = [torch.randn(4, 2, 8, 8) * scale + scale for scale in (0.5, 1.0, 4.0)]
    found = two_steps()
    recalibrate(found.train(), lambda: batches)
    assert found.training
    found.eval()
    with torch.no_grad():
        x = torch.cat(batches)
        for layer in found:
            if isinstance(layer, nn.BatchNorm2d):
                torch.testing.assert_close(layer.running_mean, x.mean((0, 2, 3)))
                torch.testing.assert_close(layer.running_var, x.var((0, 2, 3), correction=0))
            x = layer(x)


def test_how_images_are_divided_into_batches_changes_no_statistics():
    batches = [torch.randn(4, 2, 8, 8) * scale + scale for scale in (0.5, 1.0, 4.0)]
    divided = ([torch.cat(batches)], [x for one in batches for x in one.split(1)])
    found = [two_steps() for _ in divided]
    for network, parts in zip(found, divided, strict=True):
        recalibrate(network, lambda parts=parts: parts)
    for one, other in zip(*(network.buffers() for network in found), strict=True):
        torch.testing.assert_close(one, other)


def test_a_norm_that_is_used_twice_has_the_statistics_of_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            return self.norm(2 * self.norm(x) + 5)

    network = Twice().eval()
    x = torch.randn(16, 1, 3, 3)
    recalibrate(network, lambda: [x])
    seen = torch.cat([x, 2 * nn.BatchNorm2d(1).eval()(x) + 5])
    torch.testing.assert_close(network.norm.running_mean, seen.mean((0, 2, 3)))
