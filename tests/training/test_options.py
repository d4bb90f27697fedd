"""Mixed precision, gradient accumulation and moving averages."""

import contextlib

import pytest
import torch
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError
from qdeploy.networks.calibrated import calibrated_random
from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.layers import LayerFactory
from qdeploy.quant.quantizers import set_step
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.quantization import Quantization
from qdeploy.training.batches import Batching, training_batches
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.ema import Ema
from qdeploy.training.lipschitz import LipschitzTerm
from qdeploy.training.metrics import read_metrics
from qdeploy.training.mixed_precision import mixed_precision
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train


def changed(recipe: Recipe, **values: object) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **values})


def test_quantizers_keep_their_codes_under_mixed_precision(recipe):
    network = calibrated_random(recipe).train()
    seen = {}
    for name, module in network.named_modules():
        if name.endswith("act") or name == "head":
            module.register_forward_hook(lambda m, i, y, n=name: seen.update({n: (m, i[0], y)}))
    data = load_dataset(recipe.data)
    inputs, _ = next(training_batches(data, Batching.of(recipe), 0, 0))
    with mixed_precision(network, torch.device("cpu")):
        logits = network(inputs)
    assert logits.dtype == torch.bfloat16
    for name in ("hidden1.act", "hidden2.act"):
        module, given, values = seen[name]
        step = module.act_quant.scale()
        assert (given.dtype, values.dtype) == (torch.bfloat16, torch.float32)
        # Exactly what float32 makes of the values that came in, on the grid of float32's step.
        codes = (given.float().relu() / step).round().clamp(0, 3)
        assert torch.equal(values, codes * step)
        assert set(codes.unique().tolist()) == {0, 1, 2, 3}
    logits.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in network.parameters())
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters())


@pytest.mark.parametrize("quantized", [False, True])
def test_dilated_depthwise_layers_get_gradients_of_their_own(quantized):
    """In bfloat16 torch leaves the gradient of their weights unwritten on some CPUs."""
    make = LayerFactory(Quantization(), quantized=quantized)
    layer = make.conv("conv", 64, 64, 3, padding=2, groups=64, dilation=2)
    network = nn.Sequential(nn.Conv2d(3, 64, 1), layer).to(memory_format=torch.channels_last)
    if quantized:
        set_step(layer.weight_quant, torch.tensor(0.1))
    images, upstream = torch.randn(8, 3, 32, 32), torch.randn(8, 64, 32, 32)
    gradients = []
    for context in (contextlib.nullcontext(), mixed_precision(network, torch.device("cpu"))):
        network.zero_grad()
        with context:
            output = network(images)
        (output.float() * upstream).sum().backward()
        gradients.append(layer.weight.grad.clone())
    assert not torch.equal(*gradients)  # the layer before it did round
    largest = gradients[0].abs().max().item()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0.05 * largest)
    assert network(images).dtype == torch.float32


def test_mixed_precision_trains_about_as_well_and_stores_float32(recipe, tmp_path):
    full = load_run(train(recipe, tmp_path / "full"))
    mixed = changed(recipe, training={"threads": 1, "precision": "bfloat16"})
    folder = train(mixed, tmp_path / "mixed")
    half = load_run(folder)
    assert half.summary["accuracy"] == pytest.approx(full.summary["accuracy"], abs=0.1)
    assert (folder / MODEL).read_bytes() != (tmp_path / "full" / MODEL).read_bytes()
    tensors, _ = read_tensors(folder / MODEL)
    assert {t.dtype for t in tensors.values()} == {torch.float32, torch.int64}


def test_parts_of_a_batch_make_the_step_of_the_whole(recipe, tmp_path):
    """Without batch norm, whose statistics are those of a part, the curves are equal."""
    from qdeploy.networks import hidden

    rows = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hidden.nn, "BatchNorm1d", lambda count: torch.nn.Identity())
        for parts in (1, 4):
            made = changed(
                recipe,
                training={"threads": 1, "accumulate": parts, "epochs": 1},
                phases=[phase.model_dump() for phase in recipe.phases[:2]],
            )
            rows[parts] = read_metrics(train(made, tmp_path / str(parts)))
    for one, other in zip(rows[1], rows[4], strict=True):
        assert other.loss == pytest.approx(one.loss, rel=2e-3)
        assert other.lipschitz == pytest.approx(one.lipschitz, rel=2e-3)


def test_the_moving_average_is_that_of_its_formula():
    layer = torch.nn.BatchNorm1d(3)
    mean = Ema(layer, 0.9)
    wanted = layer.weight.detach().clone()
    for step in range(200):
        layer.weight.data.uniform_()
        mean.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * layer.weight.detach()
    live = layer.weight.detach().clone()
    with mean.in_place():
        torch.testing.assert_close(layer.weight.detach(), wanted)
    assert torch.equal(layer.weight.detach(), live)
    mean.give()
    torch.testing.assert_close(layer.weight.detach(), wanted)


def test_a_phase_ends_with_its_moving_average_and_resumes_to_the_same_bits(
    recipe, tmp_path, interrupt_when
):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1]["ema"] = 0.95
    averaged = changed(recipe, phases=phases)
    whole = train(averaged, tmp_path / "whole")
    plain = train(recipe, tmp_path / "plain")
    ends = [
        read_tensors(folder / "checkpoints" / "phase01-epoch00003.safetensors")[0]
        for folder in (whole, plain)
    ]
    name = "network/hidden2.fc.weight"
    assert not torch.equal(ends[0][name], ends[1][name])
    torch.testing.assert_close(ends[0][name], ends[0]["ema/hidden2.fc.weight"], rtol=0, atol=0)
    folder = tmp_path / "broken"
    interrupt_when(folder / "checkpoints" / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(averaged, folder)
    train(averaged, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_a_phase_trains_with_its_own_holes_and_mixtures_and_ends_with_whole_images(
    recipe, tmp_path
):
    phases = [phase.model_dump() for phase in recipe.phases[:2]]
    rows = []
    for options in ({}, {"cutout": 5}, {"mixup": 1.0}):
        given = [{**phases[0], **options}, phases[1]]
        made = changed(recipe, phases=given, training={"threads": 1, "epochs": 1})
        rows.append(read_metrics(train(made, tmp_path / str(len(rows)))))
    plain, cut, mixed = (row[0] for row in rows)
    assert plain.loss < min(cut.loss, mixed.loss)
    assert min(cut.accuracy - cut.train_accuracy, mixed.accuracy - mixed.train_accuracy) > 0.1


def test_mixtures_that_cannot_pair_a_batch_are_refused_before_the_run_folder_is_made(
    recipe, tmp_path
):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1]["mixup"] = 0.2
    odd = changed(recipe, phases=phases, data={**recipe.data.model_dump(), "batch_size": 63})
    with pytest.raises(RecipeError, match="mixup cannot pair the 63 images"):
        train(odd, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lipschitz", [0.0, 1e-1])
@pytest.mark.parametrize("cyclical", [False, True])
def test_the_papers_two_methods_work_alone_and_together(recipe, tmp_path, lipschitz, cyclical):
    phases = [phase.model_dump() for phase in recipe.phases[: 3 if cyclical else 2]]
    for phase in phases[1:]:
        phase["lipschitz"] = lipschitz
    folder = train(changed(recipe, phases=phases), tmp_path / "run")
    rows = [row for row in read_metrics(folder) if row.kind != "pretrain"]
    rates = {row.lr for row in rows if row.kind == "finetune"}
    assert (len(rates) > 1) == cyclical
    start = LipschitzTerm(build_network(recipe, quantized=True)).value()
    assert (rows[-1].lipschitz < start) == (lipschitz > 0)
    for row in rows:
        assert (row.lipschitz_share is not None) == (lipschitz > 0)
        assert ("% of the gradient" in row.sentence()) == (lipschitz > 0)


def test_the_papers_term_can_leave_out_the_first_and_the_last_layer(recipe, tmp_path):
    reached = {}
    for layers in ("all", "inner"):
        phases = [phase.model_dump() for phase in recipe.phases[:2]]
        phases[1].update(lipschitz=1e-1, lipschitz_layers=layers)
        folder = train(changed(recipe, phases=phases), tmp_path / layers)
        reached[layers] = LipschitzTerm(load_run(folder).network).by_layer()
    first, *_, last = reached["all"]
    assert reached["inner"][last] > 1.2 * reached["all"][last]
    assert reached["inner"][first] > reached["all"][first]
