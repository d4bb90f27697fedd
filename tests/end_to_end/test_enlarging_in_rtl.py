"""U-Net, DenseNet and a decoder from files to the simulated RTL, with stalls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dialect_check import check
from dialects_concat import densenet
from dialects_enlarging import decoder, unet
from onnx import ModelProto
from simulated import mismatches_in_rtl
from written_files import save


@pytest.mark.slow
@pytest.mark.parametrize("make", [unet, densenet, decoder])
@pytest.mark.parametrize("fps", [2e3, 3e4])
def test_every_code_is_exact_down_to_rtl(
    make: Callable[[], ModelProto], fps: float, tmp_path: Path
) -> None:
    found = check(save(make(), tmp_path), frames=3)
    assert found.exact == 0
    different, compared = mismatches_in_rtl(found.graph, found.codes, tmp_path, fps)
    assert different == 0
    assert compared > 100
