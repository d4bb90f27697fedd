"""Sums of a few values, each taken some times: those that exist, and inputs that give them."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.verify.units.sums import NONE, Sums


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=5), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_sums_are_those_that_exist_and_each_has_its_inputs(
    values: list[int], n: int, seed: int
) -> None:
    sums = Sums(values, n)
    used = sorted(values) if n else []
    exact = {
        sum(a * k for a, k in zip(used, y, strict=True))
        for y in product(range(n + 1), repeat=len(used))
    }
    bounds = np.arange(-3, max(exact) + 4)
    below, above = sums.below(bounds).tolist(), sums.above(bounds).tolist()
    assert below == [max((s for s in exact if s <= b), default=NONE) for b in bounds.tolist()]
    assert above == [min((s for s in exact if s >= b), default=NONE) for b in bounds.tolist()]
    wanted = np.random.default_rng(seed).integers(0, n + 1, len(used)).tolist()
    for total in exact:
        y = sums.solve(total, wanted)
        assert all(0 <= k <= n for k in y)
        assert sum(a * k for a, k in zip(used, y, strict=True)) == total
