"""The block of a matrix-vector unit that has its weights in its logic: `qd_unrolled`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qdeploy.dataflow.rtl.constant_circuit import circuit, sums_module
from qdeploy.dataflow.rtl.constant_sums import plan_sums
from qdeploy.dataflow.rtl.unit import Block, EmbeddedModule

if TYPE_CHECKING:
    from qdeploy.ir.integer_graph import IntArray


def unrolled_block(
    weights: IntArray,
    bits: int,
    signed: bool,
    activation: Mapping[str, int | str],
    out_bits: int,
) -> Block:
    """A vector per cycle, all products at once.

    Args:
        weights: (MH, MW).
        bits, signed: of an activation.
        activation: the block's parameters ACC, NT, OB, BASE, TFILE.
        out_bits: of a result.
    """
    rows, columns = weights.shape
    width = int(activation["ACC"])
    plan = plan_sums(weights, bits, signed, width)
    made = circuit(plan)
    return Block(
        "qd_unrolled",
        # The codes are in a register before the sums begin.
        {"MW": columns, "MH": rows, "AB": bits, "LATENCY": made.latency + 1, **activation},
        (columns * bits,),
        (rows * out_bits,),
        embedded=EmbeddedModule(
            ("codes", columns * bits),
            ("sums", rows * width),
            lambda name: sums_module(plan, name),
            ("qd_count_six",),
        ),
        facts={"SUM_LUT": made.lut, "SUM_FF": made.ff},
    )
