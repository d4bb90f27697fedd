"""The kernels in C: torch's bits and gradients, in every memory format, with any threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quant import native
from qdeploy.quant.fused import Quantize
from qdeploy.quant.native import Rule, Scale
from qdeploy.user_cache import user_cache

RANGES = ((0, 1), (0, 3), (0, 255), (-1, 1), (-7, 7), (-128, 127))


@pytest.fixture(autouse=True)
def compiled() -> None:
    """A machine that tests has a C compiler."""
    assert native.missing() is None


@pytest.fixture
def library() -> Iterator[None]:
    """Looked for anew, before and after."""
    native._library.cache_clear()
    yield
    native._library.cache_clear()


def values(count: int, step: float, seed: int) -> torch.Tensor:
    """Of both signs, far out too, with ties and the ends of steps among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, generator=generator) * step * 5
    x[::3] = (torch.randint(-600, 600, (len(x[::3]),), generator=generator) / 2) * step
    return x


def both(
    x: torch.Tensor, step: torch.Tensor, lo: int, hi: int, rule: Rule, grad: torch.Tensor
) -> list[tuple[torch.Tensor, ...]]:
    """Values and gradients by the kernels, and by torch's operations on float64 gradients."""
    found = []
    for kernels in (True, False):
        given, threshold = x.clone().requires_grad_(), step.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            if not kernels:
                patch.setattr(native, "takes", lambda *_: False)
            y = Quantize.apply(given, threshold, 0.0, 1, lo, hi, rule)
            y.backward(grad)
        assert given.grad is not None and threshold.grad is not None
        found.append((y.detach(), given.grad, threshold.grad))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RANGES),
    st.sampled_from(list(Rule)),
    st.integers(1, 40_000),
    st.floats(1e-3, 10),
    st.integers(0, 1000),
)
def test_kernels_give_torchs_values_and_gradients(
    codes: tuple[int, int], rule: Rule, count: int, step: float, seed: int
) -> None:
    lo, hi = codes
    if rule == Rule.CLIP_AFTER_RELU and lo < 0:
        lo = 0
    x, scale = values(count, step, seed), torch.tensor(step)
    grad = torch.randn(count, generator=torch.Generator().manual_seed(seed + 1))
    (y, grad_x, slope), (y2, grad_x2, slope2) = both(x, scale, lo, hi, rule, grad)
    assert torch.equal(y, y2)
    assert torch.equal(grad_x, grad_x2)
    bound = 1e-5 * float((grad.abs() * max(hi, -lo, 1)).sum())
    assert abs(float(slope - slope2)) <= bound


@pytest.mark.parametrize("kind", ["contiguous", "channels_last", "flat", "empty"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_dense_format_keeps_its_place(kind: str, dtype: torch.dtype) -> None:
    shape = {"flat": (40, 30), "empty": (0, 4)}.get(kind, (3, 5, 4, 7))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    if kind == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    step, grad = torch.tensor(0.37), torch.randn(shape)  # the gradient has the usual format
    assert native.takes(x, step)
    for rule in (Rule.PACT, Rule.CLIP):
        (y, grad_x, slope), (y2, grad_x2, slope2) = both(x, step, -3, 3, rule, grad)
        assert y.dtype == torch.float32 and y.stride() == x.stride()
        assert torch.equal(y, y2)
        assert grad_x.dtype == dtype and torch.equal(grad_x, grad_x2)
        torch.testing.assert_close(slope, slope2)


@pytest.mark.parametrize("shape", [(6, 1, 1, 1), (6, 1)])
def test_each_row_has_its_step(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    size = (6, 4, 3, 3) if len(shape) == 4 else (6, 9000)
    x, grad = (torch.randn(size, generator=generator) for _ in range(2))
    step = torch.rand(shape, generator=generator) + 0.1
    assert native.takes(x, step)
    (y, grad_x, slope), (y2, grad_x2, slope2) = both(x, step, -3, 3, Rule.THROUGH, grad)
    assert torch.equal(y, y2) and torch.equal(grad_x, grad) and torch.equal(grad_x2, grad)
    assert slope.shape == shape
    torch.testing.assert_close(slope, slope2, rtol=1e-5, atol=1e-4)


def test_what_the_kernels_do_not_take_goes_to_torch() -> None:
    step, x = torch.tensor(0.5), torch.randn(4, 6, 5, 3)
    for other in (x.double(), x.half(), x[:, ::2], x.permute(0, 2, 1, 3)):
        assert not native.takes(other, step)
    for steps in (torch.ones(6), torch.ones(1, 6, 1, 1), torch.ones(4, 6, 1, 1), step.double()):
        assert not native.takes(x, steps)
    y = Quantize.apply(x[:, ::2], step, 0.0, 1, 0, 3, Rule.PACT)
    assert torch.equal(y, (x[:, ::2] / 0.5).round().clamp(0, 3) * 0.5)


def test_not_a_number_is_passed_on_and_unsigned_codes_have_no_sign() -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.1, -0.0])
    found = native.quantize(x, Scale(torch.tensor(0.5), 0.0, 1), 0, 3)
    assert bool(found[0].isnan()) and found[1:].tolist() == [1.5, 0, 0, 0]
    assert not torch.signbit(found[2:]).any()


def test_sums_are_the_same_bits_on_any_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(3)
    x, grad = (torch.randn(7, 16, 32, 33, generator=generator) for _ in range(2))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            scale = Scale(torch.tensor(0.3), 0.0, 1)
            y = native.quantize(x, scale, 0, 3)
            found.append((y, *native.gradient(grad, x, scale, 0, 3, Rule.CLIP)))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(one, found[0], strict=True))


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    x = torch.randn(50, requires_grad=True)
    y = Quantize.apply(x, torch.tensor(0.5), 0.0, 1, 0, 3, Rule.PACT).square().sum()
    (slope,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.usefixtures("library")
def test_the_library_is_kept_where_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.missing() is None
    (kept,) = (tmp_path / "qdeploy/kernels").iterdir()
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    made = kept.stat().st_mtime_ns
    native._library.cache_clear()
    assert native.missing() is None and kept.stat().st_mtime_ns == made
    kept.parent.chmod(0o777)
    assert not user_cache("kernels").is_relative_to(tmp_path)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("compiler", ["missing", "failing", "crippled"])
def test_without_kernels_torch_computes_and_the_reason_is_told(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {
        "failing": "#!/bin/sh\necho no room >&2\nexit 1\n",
        "crippled": '#!/bin/sh\nfor last; do :; done\necho nothing > "$last"\n',
    }
    if compiler != "missing":
        (tmp_path / "cc").write_text(programs[compiler])
        (tmp_path / "cc").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}/nowhere"
    monkeypatch.setenv("PATH", path if compiler == "missing" else f"{path}{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    why = native.missing()
    assert why is not None
    assert {"missing": "no C compiler", "failing": "does not compile", "crippled": "cannot"}[
        compiler
    ] in why
    x = torch.randn(20)
    y = Quantize.apply(x, torch.tensor(0.5), 0.0, 1, 0, 3, Rule.PACT)
    assert torch.equal(y, (x / 0.5).round().clamp(0, 3) * 0.5)
