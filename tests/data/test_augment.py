"""Crop and flip against a plain loop."""

import torch

from qdeploy.data.augment import Crop


def crop_and_flip(
    images: torch.Tensor, generator: torch.Generator, padding: int = 4
) -> torch.Tensor:
    crop = Crop(padding, padding)
    labels = torch.arange(len(images))
    out, same = crop.apply(images, labels, crop.draw(len(images), generator))
    assert torch.equal(same, labels)
    return out


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_image_is_a_window_of_its_padded_self_perhaps_mirrored():
    images = torch.randint(1, 256, (40, 3, 6, 5), generator=generator()).to(torch.uint8)
    out = crop_and_flip(images, generator(1), padding=2)
    assert out.shape == images.shape
    assert out.dtype == torch.uint8
    flipped = 0
    for image, got in zip(images, out, strict=True):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        windows = [
            (padded[:, top : top + 6, left : left + 5], mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        ]
        hits = [m for w, m in windows if torch.equal(w.flip(2) if m else w, got)]
        assert hits
        flipped += hits[0]
    assert 8 < flipped < 32


def test_the_same_seed_gives_the_same_batch_and_another_one_does_not():
    images = torch.randint(0, 256, (16, 1, 8, 8), generator=generator()).to(torch.uint8)
    first = crop_and_flip(images, generator(5))
    assert torch.equal(first, crop_and_flip(images, generator(5)))
    assert not torch.equal(first, crop_and_flip(images, generator(6)))


def test_without_padding_images_are_only_mirrored():
    images = torch.randint(0, 256, (16, 1, 4, 4), generator=generator()).to(torch.uint8)
    out = crop_and_flip(images, generator(2), padding=0)
    for image, got in zip(images, out, strict=True):
        assert torch.equal(got, image) or torch.equal(got, image.flip(2))
