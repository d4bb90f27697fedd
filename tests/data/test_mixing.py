"""Holes and mixtures against plain loops, and the distribution of the shares."""

import pytest
import torch
from scipy import stats

from qdeploy.data.mixing import Cutout, Mixup


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, *shape: int) -> torch.Tensor:
    return torch.randint(1, 256, (count, *shape), generator=generator(9)).to(torch.uint8)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_hole_is_a_square_around_its_middle_and_nothing_else_changes(size):
    images, labels = pictures(60, 3, 5, 7), torch.arange(60)
    cutout = Cutout(size)
    down, right = cutout.draw(60, generator(1))
    out, same = cutout.apply(images, labels, (down, right))
    assert torch.equal(same, labels)
    middles = set()
    for n in range(60):
        row, column = int(down[n] * 5), int(right[n] * 7)
        middles.add((row, column))
        wanted = images[n].clone()
        for y in range(row - size // 2, row - size // 2 + size):
            for x in range(column - size // 2, column - size // 2 + size):
                if 0 <= y < 5 and 0 <= x < 7:
                    wanted[:, y, x] = 0
        assert torch.equal(out[n], wanted)
        assert not torch.equal(out[n], images[n])
    assert {row for row, _ in middles} == set(range(5))
    assert {column for _, column in middles} == set(range(7))


@pytest.mark.parametrize("void", [None, 255])
def test_a_hole_is_void_in_a_mask_that_has_void(void):
    images, masks = pictures(9, 3, 5, 7), torch.full((9, 5, 7), 4, dtype=torch.uint8)
    cutout = Cutout(3, void)
    out, labels = cutout.apply(images, masks, cutout.draw(9, generator()))
    hole = (out == 0).all(1)
    assert bool(hole.any())
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, masks if void is None else masks.where(~hole, void))


def test_an_image_is_mixed_with_its_neighbour_and_so_are_their_labels():
    images, labels = pictures(6, 2, 3, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    mixup = Mixup(1.0, 3)
    (share,) = mixup.draw(6, generator())
    out, shares = mixup.apply(images, labels, (share,))
    assert (out.dtype, shares.dtype) == (torch.uint8, torch.float32)
    assert len(set(share.tolist())) == 6
    for n, other in enumerate([1, 0, 3, 2, 5, 4]):
        mine = share[n].item()
        exact = images[n].double() * mine + images[other].double() * (1 - mine)
        assert float((out[n].double() - exact).abs().max()) <= 0.5 + 1e-4
        wanted = [0.0] * 3
        wanted[int(labels[n])] += mine
        wanted[int(labels[other])] += 1 - mine
        assert shares[n].tolist() == pytest.approx(wanted)
        assert int(shares[n].argmax()) == int(labels[n])


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 30.0])
def test_shares_are_the_larger_ones_of_the_beta_distribution(alpha):
    (share,) = Mixup(alpha, 2).draw(4000, generator(2))
    assert share.dtype == torch.float32
    assert 0.5 <= float(share.min()) <= float(share.max()) <= 1
    own = torch.rand(4000, generator=generator(3)) < 0.5
    both = torch.where(own, share, 1 - share)
    # Between the points float32 cannot tell from 0 and 1: a small α has much of its mass there.
    for point in torch.linspace(0.001, 0.999, 99).tolist():
        wanted = stats.beta(alpha, alpha).cdf(point)
        assert float((both < point).double().mean()) == pytest.approx(wanted, abs=0.03)
