"""How `qd_mvu` and `qd_depthwise` form their products, and how many cycles weights take to be read.

The numbers are those of the Verilog parameters DOT and READ.
"""

from __future__ import annotations

from enum import IntEnum


class DotKind(IntEnum):
    """The parameter DOT."""

    PLANES = 0
    MULTIPLIERS = 1
    XNOR = 2


# The parameter READ: tables of logic, and a memory that may be a block RAM.
READ_TABLES = 1
READ_MEMORY = 2
