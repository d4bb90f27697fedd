"""Loss and mean intersection over union of pixels, and a segmentation network that learns."""

import json

import numpy as np
import pytest
import torch
from data_trees import write_voc
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.cli.main import qdeploy
from qdeploy.cli.main import run as run_command
from qdeploy.errors import RecipeError
from qdeploy.recipe.models import Recipe
from qdeploy.training.metrics import read_metrics
from qdeploy.training.run import load_run
from qdeploy.training.segmentation import Confusion, full_size, pixel_loss
from qdeploy.training.train import train


def drawn(seed: int, classes: int = 4, void: int = 255) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, classes + 1, (2, 6, 5), generator=generator)
    return torch.randn((2, classes, 6, 5), generator=generator), masks.where(masks < classes, void)


def test_the_loss_is_the_mean_over_pixels_that_are_not_void():
    logits, masks = drawn(0)
    terms = [
        -torch.log_softmax(logits[n, :, y, x], 0)[masks[n, y, x]]
        for n in range(2)
        for y in range(6)
        for x in range(5)
        if masks[n, y, x] != 255
    ]
    assert pixel_loss(logits, masks, 255).item() == pytest.approx(float(torch.stack(terms).mean()))
    total = pixel_loss(logits, masks, 255, reduction="sum").item()
    assert total == pytest.approx(float(torch.stack(terms).sum()))


def test_void_pixels_have_no_gradient_and_only_void_no_loss():
    logits, masks = drawn(1)
    logits.requires_grad_()
    pixel_loss(logits, masks, 255).backward()
    assert logits.grad is not None
    void = (masks == 255)[:, None].expand_as(logits)
    assert float(logits.grad[void].abs().max()) == 0
    assert float(logits.grad[~void].abs().min()) > 0
    assert pixel_loss(logits, torch.full_like(masks, 255), 255).item() == 0


def test_coarse_logits_are_interpolated_with_corners_on_corners():
    coarse = torch.arange(6.0).reshape(1, 1, 2, 3)
    fine = full_size(coarse, (5, 9))
    assert torch.equal(fine[..., ::4, ::4], coarse)
    assert fine[0, 0, 2, 2].item() == pytest.approx(2.0)
    assert full_size(coarse, (2, 3)) is coarse


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(2, 6),
    parts=st.integers(1, 3),
)
def test_miou_is_that_of_a_plain_count(seed, classes, parts):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, classes + 1, (6, 3, 4))
    masks[masks == classes] = 255
    predicted = rng.integers(0, classes, (6, 3, 4))
    whole = Confusion(classes, 255)
    for part in range(parts):  # counts of several processes add up
        one = Confusion(classes, 255)
        one.add(torch.from_numpy(predicted[part::parts]), torch.from_numpy(masks[part::parts]))
        whole.counts += one.counts
    ious = []
    for label in range(classes):
        mine, theirs = (predicted == label) & (masks != 255), masks == label
        if (mine | theirs).any():
            ious.append((mine & theirs).sum() / (mine | theirs).sum())
    assert whole.miou() == pytest.approx(float(np.mean(ious)) if ious else 0.0)
    right = ((predicted == masks) & (masks != 255)).sum() / max(1, (masks != 255).sum())
    assert whole.pixel_accuracy() == pytest.approx(right)


def test_a_class_that_is_nowhere_does_not_count():
    confusion = Confusion(3, 255)
    confusion.add(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert confusion.iou()[:2].tolist() == [0.5, 0.5]
    assert bool(confusion.iou()[2].isnan())
    assert confusion.miou() == 0.5


@pytest.fixture
def segmenting(recipe) -> Recipe:
    stages = [{"expansion": 1, "channels": 16, "blocks": 1, "stride": 1}]
    content = recipe.model_dump()
    content["network"] = {
        "type": "deeplab",
        "stem_stride": 2,
        "output_stride": 2,
        "stages": stages,
        "top_channels": 16,
    }
    content["data"] = {
        "name": "voc2012",
        "image_size": 48,
        "batch_size": 3,
        "augment": "scale-crop-flip",
        "workers": 1,
        "partial": True,
    }
    content["phases"][0]["epochs"] = 6
    return Recipe.model_validate(content)


def test_a_segmentation_network_trains_and_reports_miou_everywhere(segmenting, tmp_path, capsys):
    write_voc(tmp_path)
    folder = train(segmenting, tmp_path / "run", tmp_path)
    rows = read_metrics(folder)
    assert all(0 <= value <= 1 for r in rows for value in (r.miou, r.train_miou, r.accuracy))
    assert rows[5].loss < rows[0].loss
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["miou"] == summary["phases"][-1]["miou"]
    run = load_run(folder)
    data = run.dataset(tmp_path)
    images, masks = data.test.read(range(4))
    confusion = Confusion(21, 255)
    with torch.no_grad():
        confusion.add_logits(run.network(images.float() / 256), masks.long())
    assert confusion.miou() == pytest.approx(summary["miou"], abs=1e-6)
    words = [str(folder), "--data", str(tmp_path)]
    capsys.readouterr()
    assert run_command(qdeploy, ["train", f"{folder}/recipe.yaml", "--out", *words]) == 0
    printed = capsys.readouterr().out
    assert "mIoU" in printed
    assert f"{summary['miou']:.2%}" in printed
    quick = ["--frames", "2", "--loss-frames", "2", "--directions", "1"]
    both = ["analyze", str(folder), *words, "--out", str(tmp_path / "both"), *quick]
    assert run_command(qdeploy, both) == 0
    printed = capsys.readouterr().out
    assert "mIoU" in printed[printed.index("all runs") :]


def test_a_network_for_whole_images_is_refused_on_masks(segmenting, recipe, tmp_path):
    mixed = segmenting.model_copy(update={"network": recipe.network})
    with pytest.raises(RecipeError, match="type `fcdnn` cannot be trained on `voc2012`"):
        train(mixed, tmp_path / "run", tmp_path)
    assert not (tmp_path / "run").exists()
