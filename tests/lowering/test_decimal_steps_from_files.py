"""Files whose steps are no powers of two: checks that are bit for bit meet rounded sums."""

from __future__ import annotations

from pathlib import Path

import pytest
from dialect_check import check, lowered
from dialects_decimal import decimal_files

from qdeploy.errors import InternalError, QDeployError

# A pass over each of them changes the order of an engine's sums.
REORDERED = (
    "sequence/length, channels",
    "sequence/length, channels, turned before the codes",
    "sequence/shared linear layer, Flatten",
    "sequence/shared linear layer of a map",
    "enlarging/concat: channels last",
    "finn/out_scale",
    "finn/out_scale and out_bias",
    "finn/out_bias of half a step",
    "finn/bipolar",
)


@pytest.mark.parametrize("name", REORDERED)
def test_sums_in_another_order_are_no_fault(name: str, tmp_path: Path) -> None:
    (file,) = [one for one in decimal_files() if one.name == f"decimal/{name}"]
    file.write(tmp_path / "net.onnx")
    found = check(tmp_path / "net.onnx", file.raw, 2)
    assert (found.engine, found.exact, found.classes) == (0, 0, 0), found.note


def test_every_file_lowers_or_is_refused(tmp_path: Path) -> None:
    path, taken = tmp_path / "net.onnx", 0
    for file in decimal_files():
        file.write(path)
        try:
            lowered(path, file.raw)
            taken += 1
        except InternalError as error:
            pytest.fail(f"{file.name}: {error}")
        except QDeployError:
            pass
    assert taken >= 290
