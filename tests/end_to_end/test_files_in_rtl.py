"""Files of the dialects that ask something of the hardware, down to the simulated RTL."""

from __future__ import annotations

from pathlib import Path

import pytest
from dialect_check import check
from dialects import all_dialects
from simulated import mismatches_in_rtl

NAMES = (
    "layer/Add of scales without a ratio",
    "layer/max-pool with ceil_mode",
    "onnxruntime/residual",
    "brevitas/torchscript QONNX, sequences, mean",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_exact_down_to_rtl(name: str, tmp_path: Path) -> None:
    dialect = next(one for one in all_dialects(name) if one.name == name)
    path = tmp_path / "network.onnx"
    dialect.write(path)
    found = check(path, dialect.raw, frames=3)
    assert (found.engine, found.exact) == (0, 0), found.note
    different, compared = mismatches_in_rtl(found.graph, found.codes, tmp_path)
    assert different == 0
    assert compared > 100
