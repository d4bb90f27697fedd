"""Traces by Hutchinson's method, where the Hessian is known."""

import math

import torch

from qdeploy.training.analysis.hessian import hessian_traces


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_draw_is_exact_for_a_diagonal_hessian() -> None:
    diagonal = torch.tensor([3.0, -1.0, 0.25, 8.0])
    w = torch.randn(4, generator=seeded(), requires_grad=True)
    loss = 0.5 * (diagonal * w.square()).sum()
    assert hessian_traces(loss, [w], 1, seeded()) == [10.25]


def test_many_draws_approach_the_trace_of_any_hessian() -> None:
    drawn = torch.randn(12, 12, generator=seeded(1), dtype=torch.float64)
    matrix = drawn + drawn.T
    w = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    loss = 0.5 * w.flatten() @ matrix @ w.flatten()
    probes = 2000
    (found,) = hessian_traces(loss, [w], probes, seeded(2))
    off = matrix - torch.diag(matrix.diagonal())
    spread = math.sqrt(2 * float(off.square().sum()) / probes)  # of the mean of the draws
    assert abs(found - float(matrix.trace())) < 4 * spread


def test_each_tensor_gets_the_trace_of_its_own_block() -> None:
    # The two are strongly coupled, which one product for both would show as noise.
    a = torch.ones(2, requires_grad=True)
    b = torch.ones(2, requires_grad=True)
    loss = 2 * a.square().sum() + 3 * b.square().sum() + 1000 * (a * b).sum()
    assert hessian_traces(loss, [a, b], 1, seeded()) == [8.0, 12.0]


def test_values_inside_the_network_have_traces_too() -> None:
    w = torch.tensor([[1.0, 2.0]], requires_grad=True)
    hidden = torch.tensor([[1.0, -1.0]]) * w
    loss = hidden.pow(4).sum()
    # Second derivatives by the hidden values: 12·h².
    assert hessian_traces(loss, [hidden], 1, seeded()) == [12.0 + 48.0]


def test_what_the_loss_is_linear_in_has_no_trace() -> None:
    a = torch.ones(3, requires_grad=True)
    b = torch.ones(3, requires_grad=True)
    assert hessian_traces((a * b).sum(), [a, b], 3, seeded()) == [0.0, 0.0]
