"""Augmentation against plain loops."""

import math

import pytest
import torch

from qdeploy.data.augment import Crop, ScaleCropFlip, window


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


def test_a_shift_moves_columns_only_and_fills_with_zeros():
    images = torch.randint(1, 256, (30, 1, 4, 6), generator=generator()).to(torch.uint8)
    shift = Crop(0, 2, flips=False)
    draws = shift.draw(30, generator(3))
    out, _ = shift.apply(images, torch.zeros(30), draws)
    padded = torch.nn.functional.pad(images, (2, 2))
    for image, got, left in zip(padded, out, draws[1].tolist(), strict=True):
        assert torch.equal(got, image[:, :, left : left + 6])
    assert set(draws[1].tolist()) == {0, 1, 2, 3, 4}


def test_a_window_at_scale_one_is_a_plain_crop():
    images = torch.randint(0, 256, (2, 3, 7, 9), generator=generator()).to(torch.uint8)
    masks = torch.randint(0, 5, (2, 7, 9), generator=generator(1)).to(torch.uint8)
    one, whole = torch.ones(2), torch.tensor([False, True])
    top_left = (torch.zeros(2), torch.ones(2))
    out, labels = window(images, masks, (5, 6), one, top_left, whole, 255)
    assert torch.equal(out[0], images[0, :, :5, 3:])
    assert torch.equal(labels[0], masks[0, :5, 3:])
    assert torch.equal(out[1], images[1, :, :5, 3:].flip(2))
    assert torch.equal(labels[1], masks[1, :5, 3:].flip(1))


def test_scales_places_and_flips_are_drawn_evenly_and_for_themselves():
    draws = ScaleCropFlip(40, 40, void=255).draw(4000, generator())
    scale, down, right, flip = draws
    for drawn, low, high in ((scale, 0.5, 2.0), (down, 0.0, 1.0), (right, 0.0, 1.0)):
        counts = torch.histc(drawn, 10, low, high)
        assert drawn.shape == (4000,)
        assert int(counts.sum()) == 4000  # none lies outside
        assert float(counts.min()) > 300
        assert float(counts.max()) < 500
    assert flip.dtype == torch.bool
    assert 1800 < int(flip.sum()) < 2200
    related = torch.corrcoef(torch.stack([one.double() for one in draws]))
    assert float((related - torch.eye(4)).abs().max()) < 0.1


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.3, 2.0])
def test_a_scaled_window_agrees_with_a_plain_loop(scale):
    images = torch.randint(0, 256, (1, 1, 8, 11), generator=generator()).to(torch.uint8)
    masks = torch.randint(0, 5, (1, 8, 11), generator=generator(1)).to(torch.uint8)
    place = (torch.tensor([0.3]), torch.tensor([0.6]))
    out, labels = window(
        images, masks, (6, 7), torch.tensor([scale]), place, torch.tensor([False]), 255
    )
    begin_y, begin_x = (8 * scale - 6) * 0.3, (11 * scale - 7) * 0.6
    for row in range(6):
        for column in range(7):
            y = (row + begin_y + 0.5) / scale - 0.5
            x = (column + begin_x + 0.5) / scale - 0.5
            nearest_y, nearest_x = math.floor(y + 0.5), math.floor(x + 0.5)
            if not (0 <= nearest_y < 8 and 0 <= nearest_x < 11):
                assert (labels[0, row, column], out[0, 0, row, column]) == (255, 128)
                continue
            assert labels[0, row, column] == masks[0, nearest_y, nearest_x]
            y, x = min(max(y, 0), 7), min(max(x, 0), 10)
            y0, x0 = min(int(y), 6), min(int(x), 9)
            around = images[0, 0, y0 : y0 + 2, x0 : x0 + 2].double()
            down = torch.tensor([1 - (y - y0), y - y0], dtype=torch.float64)
            right = torch.tensor([1 - (x - x0), x - x0], dtype=torch.float64)
            assert abs(float(down @ around @ right) - float(out[0, 0, row, column])) <= 0.51


def test_image_and_mask_are_changed_together():
    # The image shows the mask: after any scale, crop and flip it still does, away from edges.
    masks = torch.zeros((8, 40, 40), dtype=torch.uint8)
    masks[:, 5:25, 10:38] = 1
    images = (masks * 200)[:, None].expand(-1, 3, -1, -1).contiguous()
    change = ScaleCropFlip(40, 40, void=255)
    out, labels = change.apply(images, masks, change.draw(8, generator(2)))
    valid = labels != 255
    wrong = ((out[:, 0] > 100) != (labels == 1)) & valid
    assert int(wrong.sum()) <= 0.02 * int(valid.sum())
    assert set(labels.unique().tolist()) == {0, 1, 255}
    assert torch.equal(change.apply(images, masks, change.draw(8, generator(2)))[0], out)
