"""Networks whose weights are sums of powers of two: integers of a wider grid, exact down to RTL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from residual_builds import RUNGS, assert_exact, build_residual

from qdeploy.build_folder import QONNX_FILE
from qdeploy.ir.integer_graph import Conv
from qdeploy.lowering.integers.lower import lower
from qdeploy.quant.weight_levels import magnitudes


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "bits"), [("power_of_two", 4), ("apot", 4)])
def test_every_rung_is_exact(kind: str, bits: int, tmp_path: Path) -> None:
    folder = build_residual(
        tmp_path / "built",
        4,
        f"quantization.weight_levels={kind}",
        f"quantization.weight_bits={bits}",
    )
    levels = magnitudes(kind, bits)
    convs = [node for node in lower(folder / QONNX_FILE).nodes if isinstance(node, Conv)]
    inner = [node for node in convs if "block" in node.layer]
    assert len(inner) >= 4
    for node in inner:
        assert set(np.unique(np.abs(node.weights)).tolist()) <= set(levels)
        assert len(np.unique(node.weights)) > 4
    assert_exact(folder, RUNGS)
