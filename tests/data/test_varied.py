"""Standard augmentation against what each transformation is by hand."""

from __future__ import annotations

import pytest
import torch

from qdeploy.data.varied import Varied
from qdeploy.recipe.transforms import Transforms

NOTHING = {
    "flip": 0,
    "rotation": 0,
    "scale": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int = 3, size: tuple[int, int] = (8, 8)) -> torch.Tensor:
    return torch.randint(1, 256, (count, channels, *size), generator=generator()).to(torch.uint8)


def varied(
    images: torch.Tensor, numbers: torch.Tensor | None = None, padding: int = 0, **keys: float
) -> torch.Tensor:
    """Images changed by the keys alone, with numbers of their own, or one row for all."""
    change = Varied(Transforms(**{**NOTHING, **keys}), padding)
    labels = torch.arange(len(images))
    draws = change.draw(len(images), generator(3)) if numbers is None else (numbers,)
    out, same = change.apply(images, labels, draws)
    assert torch.equal(same, labels)
    assert (out.dtype, out.shape) == (torch.uint8, images.shape)
    return out


def numbers(count: int, **given: float) -> torch.Tensor:
    """Drawn numbers: 1/2, which is no change, but for some."""
    names = ("flip", "vertical", "angle", "scale", "down", "right", "bright", "contrast", "colour")
    row = [given.get(name, 0.5) for name in (*names, "area", "ratio", "at_y", "at_x")]
    return torch.tensor([row] * count)


def test_nothing_is_no_change() -> None:
    images = pictures(20, size=(7, 10))
    assert torch.equal(varied(images), images)
    assert torch.equal(
        varied(images, numbers(20), 3, rotation=40, scale=0.5, brightness=0.9), images
    )


@pytest.mark.parametrize(("key", "axis"), [("flip", 3), ("vertical_flip", 2)])
def test_a_flip_mirrors_as_many_as_its_chance_says(key: str, axis: int) -> None:
    images = pictures(400, 1, (5, 6))
    out = varied(images, **{key: 0.25})
    mirrored = (out == images.flip(axis)).flatten(1).all(1)
    assert bool((mirrored | (out == images).flatten(1).all(1)).all())
    assert 60 < int(mirrored.sum()) < 140


def test_a_rotation_turns_as_rot90_does_at_90_degrees() -> None:
    images = pictures(3)
    turned = varied(images, numbers(3, angle=1.0), rotation=90)
    assert torch.equal(turned, torch.rot90(images, 1, (2, 3))) or torch.equal(
        turned, torch.rot90(images, -1, (2, 3))
    )
    back = varied(turned, numbers(3, angle=0.0), rotation=90)
    assert torch.equal(back, images)
    # Of an image that is no square, what stays inside is where it is in the rotated plane.
    wide = torch.zeros(1, 1, 5, 9, dtype=torch.uint8)
    wide[0, 0, 2, 6] = 255
    upright = varied(wide, numbers(1, angle=1.0), rotation=90)
    assert upright.nonzero().tolist() in ([[0, 0, 0, 4]], [[0, 0, 4, 4]])


def test_a_move_is_a_window_of_the_padded_image() -> None:
    images = pictures(30, 1, (6, 5))
    out = varied(images, padding=2)
    places = set()
    for image, moved in zip(images, out, strict=True):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        hits = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(padded[:, top : top + 6, left : left + 5], moved)
        ]
        assert len(hits) == 1
        places.add(hits[0])
    assert len(places) > 12


def test_a_larger_image_shows_its_middle() -> None:
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[:, :, 4, 7] = 255
    out = varied(image, numbers(1, scale=1.0), scale=0.3333333)
    assert int(out[0, 0, 4].argmax()) == 8
    small = varied(torch.full((1, 1, 8, 8), 200, dtype=torch.uint8), numbers(1, scale=0), scale=0.5)
    assert int((small == 200).sum()) == 16 and int(small[0, 0, 0, 0]) == 0


def test_colours_are_those_of_the_formulas() -> None:
    images = pictures(4)
    x = images.double()
    weights = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)
    grey = (x * weights[None, :, None, None]).sum(1, keepdim=True)
    expected = {
        "bright": (x * 1.5, {"brightness": 0.5}),
        "contrast": (1.5 * x - 0.5 * grey.mean((1, 2, 3), keepdim=True), {"contrast": 0.5}),
        "colour": (1.5 * x - 0.5 * grey, {"saturation": 0.5}),
    }
    for name, (wanted, keys) in expected.items():
        out = varied(images, numbers(4, **{name: 1.0}), **keys)
        assert int((out.double() - wanted.clamp(0, 255)).abs().max().ceil()) <= 1
        assert not torch.equal(out, images)
    single = pictures(4, 1)
    assert torch.equal(varied(single, saturation=0.9), single)


def test_erased_rectangles_have_the_shares_of_the_paper() -> None:
    images = pictures(500, size=(20, 30))
    black = (varied(images, erase=0.4) == 0).all(1)
    shares = black.flatten(1).float().mean(1)
    some = shares > 0
    assert 150 < int(some.sum()) < 250
    assert float(shares[some].min()) > 0.01 and float(shares.max()) < 0.36
    rows, columns = black.any(2).sum(1), black.any(1).sum(1)
    assert torch.equal(rows * columns, black.flatten(1).sum(1))
    assert float(shares[some].mean()) == pytest.approx(0.17, abs=0.03)


def test_the_same_seed_gives_the_same_batch() -> None:
    images, change = pictures(16), Varied(Transforms(erase=0.5), 2)
    first, second, other = (
        change.apply(images, torch.zeros(16), change.draw(16, generator(seed)))[0]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
