"""Jitter of light and colours: what it changes, by how much, and where it is refused."""

import pytest
import torch
from data_trees import write_voc

from qdeploy.data.dataset import in_memory
from qdeploy.data.jitter import ColourJitter
from qdeploy.data.load import load_dataset
from qdeploy.data.varied import Varied
from qdeploy.recipe.data import Data, data_section
from qdeploy.recipe.transforms import Jitter, Transforms
from qdeploy.training.batches import Batching, training_batches

NONE = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
STILL = {"flip": 0.0, "rotation": 0.0, "scale": 0.0}


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, 5, 7), generator=generator).to(torch.uint8)


def applied(images: torch.Tensor, **spreads: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The result, and the numbers from 0 to 1."""
    jitter = ColourJitter(Jitter.model_validate({**NONE, **spreads}))
    draws = jitter.draw(len(images), torch.Generator().manual_seed(2))
    masks = torch.ones(len(images), 5, 7, dtype=torch.uint8)
    out, labels = jitter.apply(images, masks, draws)
    assert labels is masks
    assert out.dtype == torch.uint8
    return out, draws[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_changes_where_nothing_is_asked(channels):
    images = pictures(9, channels)
    assert torch.equal(applied(images)[0], images)


def test_brightness_is_a_factor_of_each_image():
    images = pictures(40)
    out, numbers = applied(images, brightness=0.5)
    for one, changed, number in zip(images, out, numbers[:, 0], strict=True):
        factor = 0.5 + number.item()
        assert torch.equal(changed, (one.float() * factor).clamp(0, 255).round().to(torch.uint8))


def test_contrast_keeps_the_mean_grey_and_saturation_the_grey_of_each_pixel():
    images = pictures(40) // 2 + 64  # nothing is clipped
    weights = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]

    def grey(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() * weights).sum(1)

    contrast, _ = applied(images, contrast=0.3)
    assert (grey(contrast).mean((1, 2)) - grey(images).mean((1, 2))).abs().max() < 0.5
    assert not torch.equal(contrast, images)
    saturation, _ = applied(images, saturation=0.3)
    assert (grey(saturation) - grey(images)).abs().max() < 1.5  # three rounded channels
    assert not torch.equal(saturation, images)
    assert torch.equal(applied(images[:, :1], saturation=0.3)[0], images[:, :1])


def test_the_colours_of_standard_augmentation_are_the_same():
    images, spreads = pictures(30), {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2}
    out, numbers = applied(images, **spreads)
    varied = Varied(Transforms.model_validate({**STILL, **spreads}))
    (drawn,) = varied.draw(30, torch.Generator().manual_seed(3))
    drawn[:, 6:9] = numbers
    drawn[:, 4:6] = 0  # moved by nothing
    assert torch.equal(varied.apply(images, torch.zeros(30), (drawn,))[0], out)


def test_training_batches_have_it_and_evaluation_has_not():
    images, labels = pictures(8), torch.arange(8) % 2
    data = in_memory("own", (images, labels), (images, labels), classes=("a", "b"))
    plain, jittered = (
        [batch for batch, _ in training_batches(data, Batching(4, jitter=jitter), 0, 0)]
        for jitter in (None, Jitter())
    )
    assert len(plain) == len(jittered) == 2
    assert not torch.equal(plain[0], jittered[0])
    assert torch.equal(data.test.read([0])[0], images[:1])


def test_images_that_are_read_from_files_have_it_too(tmp_path):
    settings = {"name": "voc2012", "image_size": 64, "partial": True, "workers": 0}
    data = load_dataset(Data.model_validate(settings), write_voc(tmp_path).parents[1])
    plain, jittered = (
        [batch for batch, _ in training_batches(data, Batching(2, jitter=jitter, decoders=0), 0, 0)]
        for jitter in (None, Jitter())
    )
    assert len(plain) == len(jittered)
    assert not torch.equal(plain[0], jittered[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "image-folder", "path": "x", "augment": "standard"}, "`transforms`"),
        ({"name": "synthetic2d"}, "is for images"),
        ({"name": "csv", "path": "x.csv"}, "is for images"),
        ({"name": "cifar10", "jitter": {"brightness": 1.0}}, "less than 1"),
    ],
)
def test_jitter_is_refused_where_it_has_no_sense(given, message):
    section = data_section(given)
    with pytest.raises(ValueError, match=message):
        section.model_validate({"jitter": {}, **given})
