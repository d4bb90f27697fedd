"""Files that cannot become hardware are refused by name, with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.float32(2),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "scale": np.float32(0.25),
    "weights": np.arange(-8, 8, dtype=np.float32).reshape(4, 4) / 4,
}


def dense_file(write: Write, quant: Quant, **changes: Any) -> Path:
    """x -> Quant -> MatMul -> Quant, with some constants or attributes changed."""
    signed = changes.pop("signed", 0)
    rounding = changes.pop("rounding_mode", "ROUND")
    first = changes.pop("first", True)
    constants = {**CONSTANTS, **changes}
    constants["act_scale"] = constants.get("act_scale", np.float32(0.5))
    constants["act_bits"] = constants.get("act_bits", np.float32(2))
    constants["act_zero"] = constants.get("act_zero", np.float32(0))
    nodes = [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("weights", "wq", "scale", "eight"),
        helper.make_node("MatMul", ["xq" if first else "x", "wq"], ["sum"], "matmul"),
        quant(
            *("sum", "out", "act_scale", "act_bits", signed),
            zero="act_zero",
            rounding_mode=rounding,
            narrow=0,
        ),
    ]
    return write(nodes[0 if first else 1 :], constants, (1, 4), (1, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act_scale": np.float32(0)}, "has the scale 0"),
        ({"act_scale": np.float32("nan")}, "has the scale nan"),
        ({"act_scale": np.float32("inf")}, "has the scale inf"),
        ({"scale": np.float32(0)}, "has the scale 0"),
        ({"act_scale": np.ones((1, 4, 1), np.float32)}, "a constant of shape"),
        ({"act_zero": np.float32(0.5)}, "zero point 0.5"),
        ({"act_bits": np.float32(17)}, "17 bits"),
        ({"act_bits": np.float32(2.5)}, "2.5 bits"),
        (
            {"act_bits": np.float32(1), "act_zero": np.float32(1), "signed": 1},
            "one signed bit has the zero point 1",
        ),
        ({"rounding_mode": "STOCHASTIC"}, "rounds by STOCHASTIC"),
        ({"first": False}, "before it is quantized"),
        ({"scale": np.array([[1.0], [2], [1], [1]], np.float32)}, "within an output channel"),
        ({"weights": np.full((4, 4), np.nan, np.float32)}, "not finite"),
        ({"weights": np.ones((3, 4), np.float32)}, "matrix product"),
    ],
)
def test_a_quantizer_that_cannot_be_followed_is_named(
    changes: dict[str, Any], message: str, write_qonnx: Write, quant_node: Quant
) -> None:
    path = dense_file(write_qonnx, quant_node, **changes)
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(path)
    assert caught.value.where is not None and caught.value.do is not None


def test_the_plain_file_of_these_refusals_is_accepted(
    write_qonnx: Write, quant_node: Quant
) -> None:
    assert len(lower(dense_file(write_qonnx, quant_node)).nodes) == 2


def test_an_accumulator_beyond_32_bits_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    constants = {**CONSTANTS, "wide": np.float32(32), "weights": np.full((4, 4), 2.0**29)}
    constants["weights"] = constants["weights"].astype(np.float32)
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("weights", "wq", "one", "wide"),
        helper.make_node("MatMul", ["xq", "wq"], ["out"], "matmul"),
    ]
    path = write_qonnx(nodes, constants, (1, 4), (1, 4))
    with pytest.raises(UnsupportedLayerError, match="accumulator needs 39 bits"):
        lower(path)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_file_that_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnsupportedLayerError, match=r"broken\.onnx"):
        lower(path)
