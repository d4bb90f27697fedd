"""Max-pools whose last windows reach beyond the map, from files."""

from __future__ import annotations

from pathlib import Path

import pytest
from dialect_check import check
from dialect_writer import quantized
from onnx import ModelProto
from written_files import save

from qdeploy.ir.integer_graph import MaxPool


def pooled(kind: str, size: int, features: int, **how: object) -> ModelProto:
    # Before operator set 22, ONNX's shapes count windows in the padding that engines leave out.
    file, x = quantized((3, size, size), opset=22)
    y = file.op(kind, file.block(x, 3, 4, bits=4, scale=0.25), ceil_mode=1, **how)
    return file.model(file.classes(y, features), (1, 5))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "left", "made"),
    [
        (7, 2, 2, [0] * 4, 4, (0, 0, 1, 1)),
        (8, 3, 2, [0] * 4, 4, (0, 0, 1, 1)),
        (7, 3, 2, [0] * 4, 3, (0, 0, 0, 0)),
        (6, 3, 2, [1, 1, 1, 1], 4, (1, 1, 2, 2)),
        (7, 3, 3, [0, 0, 0, 0], 3, (0, 0, 2, 2)),
        # The third window would start in the padding: it is none.
        (4, 2, 3, [1, 1, 1, 1], 2, (1, 1, 1, 1)),
    ],
)
def test_a_max_pool_with_ceil_mode_is_one_with_padding(
    size: int,
    kernel: int,
    stride: int,
    pads: list[int],
    left: int,
    made: tuple[int, ...],
    tmp_path: Path,
) -> None:
    how = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
    found = check(save(pooled("MaxPool", size, 4 * left * left, **how), tmp_path))
    assert (found.engine, found.ties, found.exact) == (0, 0, 0), found.note
    pool = next(node for node in found.graph.nodes if isinstance(node, MaxPool))
    assert pool.pads == made


def test_ceil_mode_says_nothing_where_the_padding_is_a_rule(tmp_path: Path) -> None:
    how = {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    found = check(save(pooled("MaxPool", 7, 64, **how), tmp_path))
    assert (found.engine, found.ties, found.exact) == (0, 0, 0), found.note
