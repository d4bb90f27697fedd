"""Learned thresholds: codes of a plain count, the gradients of N2UQ, an order that cannot break."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import brevitas.nn as qnn
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quant import native, native_thresholds
from qdeploy.quant.quantizers import (
    activation_quantizer,
    code_range,
    learned_thresholds,
    set_step,
    threshold_quantizer,
)
from qdeploy.quant.thresholds import LEAST_SHARE, CountThresholds, Segments, edges_of

Array = npt.NDArray[np.float64]
finite = st.floats(-1e6, 1e6, width=32)


@contextmanager
def computed(by: str) -> Iterator[None]:
    """By the kernels, or by torch's operations."""
    with pytest.MonkeyPatch.context() as patch:
        if by == "torch":
            patch.setattr(native, "takes_values", lambda _: False)
        else:
            assert native.missing() is None
        yield


def drawn(bits: int, seed: int) -> Segments:
    """Segments of uneven lengths, from below 0 on."""
    generator = torch.Generator().manual_seed(seed)
    made = Segments((1 << bits) - 1)
    with torch.no_grad():
        made.start.fill_(-0.3)
        made.lengths.copy_(torch.rand(len(made.lengths), generator=generator) + 0.05)
    return made


def values(segments: Segments, count: int, seed: int) -> torch.Tensor:
    """Of both signs; every threshold, every end of a segment and their neighbours among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, generator=generator) * segments.lengths.detach().sum()
    thresholds, ends, _ = edges_of(segments.start, segments.lengths, segments.least)
    special = torch.cat([thresholds, ends])
    below = torch.nextafter(special, torch.tensor(-math.inf))
    special = torch.cat([special, below, torch.tensor([math.inf, -math.inf, 0.0])])
    x[: len(special)] = special[:count]
    return x


def plain_codes(x: npt.NDArray[np.float32], segments: Segments) -> npt.NDArray[np.int64]:
    """One comparison after the other, in exact arithmetic of float32 numbers as float64."""
    lengths = np.maximum(np.abs(segments.lengths.detach().numpy()), segments.least.numpy())
    codes, end = np.zeros(x.shape, dtype=np.int64), float(segments.start.detach())
    for length in lengths.astype(np.float64):
        codes += x >= np.float32(end + length / 2)
        end += length
    return codes


@pytest.mark.parametrize("by", ["kernels", "torch"])
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9000), st.integers(0, 1000), st.floats(1e-3, 10))
def test_values_are_the_bits_of_a_plain_count(
    by: str, bits: int, count: int, seed: int, step: float
) -> None:
    segments = drawn(bits, seed)
    x, value = values(segments, count, seed), torch.tensor(step)
    with computed(by):
        y = CountThresholds.apply(x, value, 0.0, 1, *segments.parameters(), segments.least)
    codes = plain_codes(x.numpy(), segments)
    assert np.array_equal(y.detach().numpy(), codes.astype(np.float32) * np.float32(step))


@pytest.mark.parametrize("by", ["kernels", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["contiguous", "channels_last", "holes", "empty"])
def test_every_format_keeps_its_place(by: str, dtype: torch.dtype, kind: str) -> None:
    segments = drawn(2, 3)
    shape = (0, 4) if kind == "empty" else (3, 5, 4, 7)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    if kind == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    elif kind == "holes":
        x = x[:, ::2]
    x.requires_grad_()
    arguments = torch.tensor(0.5), 0.0, 1, *segments.parameters(), segments.least
    with computed(by):
        y = CountThresholds.apply(x, *arguments)
        y.backward(torch.ones(x.shape))  # the gradient has the usual format
    assert y.dtype == torch.float32
    wanted = plain_codes(x.detach().float().numpy(), segments) * 0.5
    assert np.array_equal(y.detach().numpy(), wanted)
    assert x.grad is not None and x.grad.dtype == dtype
    lengths = segments.lengths.detach()
    slopes = {0.0, *(0.5 / lengths).to(dtype).tolist()}
    assert set(x.grad.flatten().tolist()) <= slopes


def test_not_a_number_is_passed_on() -> None:
    segments = drawn(2, 0)
    x = torch.tensor([math.nan, 0.0])
    for by in ("kernels", "torch"):
        with computed(by):
            y = CountThresholds.apply(
                x, torch.tensor(1.0), 0.0, 1, *segments.parameters(), segments.least
            )
        assert y.isnan().tolist() == [True, False]


def formulas(
    x: Array, g: Array, step: float, start: float, lengths: Array
) -> tuple[Array, float, float, Array]:
    """The paper's derivatives times g: of x, and summed up, of Δ, d_0 and a_1 … a_K."""
    ends = start + np.concatenate([[0.0], np.cumsum(lengths)])
    of_x, of_step, of_start, of_lengths = np.zeros(len(x)), 0.0, 0.0, np.zeros(len(lengths))
    for i, (value, upstream) in enumerate(zip(x, g, strict=True)):
        of_step += upstream * sum(value >= ends[:-1] + lengths / 2)
        for k, length in enumerate(lengths):
            if ends[k] <= value < ends[k + 1]:
                of_x[i] = upstream * step / length
                of_start -= upstream * step / length
                of_lengths[:k] -= upstream * step / length
                of_lengths[k] -= upstream * step * (value - ends[k]) / length**2
    return of_x, of_step, of_start, of_lengths


@pytest.mark.parametrize("by", ["kernels", "torch"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_the_papers(by: str, bits: int, seed: int) -> None:
    segments = drawn(bits, seed)
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(8, 700, generator=generator) * 3).requires_grad_()
    grad, value = torch.randn(x.shape, generator=generator), torch.tensor(0.9, requires_grad=True)
    levels = len(segments.lengths)
    with computed(by):
        CountThresholds.apply(
            x, value, 0.0, levels, *segments.parameters(), segments.least
        ).backward(grad)
    inputs = (one.detach().double().numpy() for one in (x.flatten(), grad.flatten()))
    lengths = segments.lengths.detach().double().numpy()
    wanted = formulas(*inputs, 0.9 / levels, float(segments.start.detach()), lengths)
    share = 1 / math.sqrt(700 * levels)  # LSQ's factor: 700 activations of an image
    assert x.grad is not None and value.grad is not None
    assert segments.start.grad is not None and segments.lengths.grad is not None
    np.testing.assert_allclose(x.grad.flatten().numpy(), wanted[0], rtol=1e-5, atol=0)
    assert value.grad.item() == pytest.approx(wanted[1] / levels * share, rel=1e-5)
    assert segments.start.grad.item() == pytest.approx(wanted[2] * share, rel=1e-5)
    bound = 1e-5 * np.abs(wanted[3]).max() * share
    np.testing.assert_allclose(segments.lengths.grad, wanted[3] * share, rtol=1e-5, atol=bound)


def test_infinite_values_have_no_gradient_and_spoil_no_other() -> None:
    for by in ("kernels", "torch"):
        segments = drawn(2, 0)
        x = torch.tensor([math.inf, -math.inf, 0.1], requires_grad=True)
        with computed(by):
            CountThresholds.apply(
                x, torch.tensor(1.0), 0.0, 3, *segments.parameters(), segments.least
            ).sum().backward()
        assert x.grad is not None and x.grad[:2].tolist() == [0, 0] and x.grad[2] > 0
        assert all(
            one.grad is not None and one.grad.isfinite().all()
            for one in [segments.start, segments.lengths]
        )


@settings(max_examples=200, deadline=None)
@given(finite, st.lists(finite, min_size=1, max_size=15), st.floats(2**-60, 10, width=32))
def test_thresholds_ascend_whatever_was_learned(
    start: float, lengths: list[float], least: float
) -> None:
    made = edges_of(torch.tensor(start), torch.tensor(lengths), torch.tensor(least))
    for edges in made[:2]:
        assert bool((edges[1:] >= edges[:-1]).all())
    assert bool((made[2] >= torch.tensor(least)).all())
    thresholds, ends, _ = made
    assert bool(((thresholds >= ends[:-1]) & (thresholds <= ends[1:])).all())


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_quantizer_begins_as_the_uniform_one(bits: int) -> None:
    step = torch.tensor(0.37)
    learned = qnn.QuantIdentity(
        act_quant=threshold_quantizer(bits, power_of_two=False), return_quant_tensor=False
    )
    uniform = qnn.QuantReLU(
        act_quant=activation_quantizer(bits, power_of_two=False), return_quant_tensor=False
    )
    found = learned_thresholds(learned.act_quant)
    assert found is not None and learned_thresholds(uniform.act_quant) is None
    for layer in (learned, uniform):
        set_step(layer.act_quant, step)
    found.segments.set_uniform(step)
    assert code_range(learned.act_quant) == code_range(uniform.act_quant) == (0, 2**bits - 1)
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0)) * 4
    for training in (True, False):
        assert torch.equal(learned.train(training)(x), uniform.train(training)(x))
    assert found.segments.least.item() == pytest.approx(0.37 * LEAST_SHARE)


def test_the_curve_that_is_rounded_meets_the_codes_in_the_middle() -> None:
    quantizer = threshold_quantizer(2, power_of_two=False)
    layer = qnn.QuantIdentity(act_quant=quantizer, return_quant_tensor=False).eval()
    curve = learned_thresholds(layer.act_quant)
    assert curve is not None
    with torch.no_grad():
        curve.segments.start.fill_(-0.2)
        curve.segments.lengths.copy_(torch.tensor([0.5, 0.2, 0.9]))
        scale = layer.act_quant.scale()
        x = torch.linspace(-2, 3, 4001)
        wanted, found = layer(x) / scale, curve.unrounded(x, scale) / scale
    assert ((wanted - found).abs() <= 0.5 + 1e-5).all()
    assert found.min() == 0 and found.max() == 3
    assert (found.diff() >= 0).all()


def test_sums_are_the_same_bits_on_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(3)
    x, grad = (torch.randn(7, 16, 32, 33, generator=generator) for _ in range(2))
    segments = drawn(2, 0)
    thresholds, ends, lengths = edges_of(segments.start, segments.lengths, segments.least)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = native_thresholds.count(x, thresholds, 0.3)
            slopes = 0.3 / lengths
            found.append((y, *native_thresholds.gradient(grad, x, thresholds, ends, slopes)))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(one, found[0], strict=True))


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    segments = drawn(2, 0)
    x = torch.randn(50, requires_grad=True)
    y = CountThresholds.apply(x, torch.tensor(0.5), 0.0, 1, *segments.parameters(), segments.least)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
