"""Modules of the library that are written twice have a proof that both forms are the same."""

from __future__ import annotations

import re

from qdeploy.design.library_text import library_text
from qdeploy.resources import resource
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.constructs import constructs_of
from qdeploy.verify.sums.dots import CONTRACTS

# What makes two readings of one file: macros, and comments that tools obey.
CONDITIONAL = re.compile(
    r"`(?:ifdef|ifndef|elsif|if)\b|(?:translate|synthesis|coverage)_o(?:n|ff)\b"
)
DO = (
    "is read in two forms, and nothing proves that they are the same: write what it gives as a "
    "contract in qdeploy/verify/sums/dots.py and have constructs_of in "
    "qdeploy/verify/memories/constructs.py name it for the blocks that use it"
)


def conditional_modules() -> set[str]:
    """As designs have them, with memories that are loaded and without: tools read no other text."""
    return {
        path.stem
        for path in resource("hw/rtl").iterdir()
        for loadable in (False, True)
        if CONDITIONAL.search(library_text(path.read_text(encoding="utf-8"), loadable=loadable))
    }


def block(module: str, dot: int) -> Block:
    parameters = {"DOT": dot, "SIMD": 4, "WB": 1, "AB": 1, "ASIGNED": 0, "USE_DSP": 0}
    return Block(module, "block", parameters, ("in0",), ("out0",))


def test_every_module_with_two_forms_has_a_contract() -> None:
    for module in sorted(conditional_modules()):
        assert module in CONTRACTS, f"hw/rtl/{module}.v {DO}"


def test_every_module_with_two_forms_is_proved_where_a_block_uses_it() -> None:
    named = {
        construct.module
        for module, dots in (("qd_mvu", 3), ("qd_depthwise", 2), ("qd_unrolled", 1))
        for dot in range(dots)
        for construct in constructs_of(block(module, dot))
    }
    assert named == {*CONTRACTS}
    for module in sorted(conditional_modules()):
        assert module in named, f"hw/rtl/{module}.v {DO}"
    # Nothing else instantiates them.
    users = {
        path.stem
        for path in resource("hw/rtl").iterdir()
        for module in conditional_modules() - {path.stem}
        if re.search(rf"^[^/\n]*\b{module}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"qd_mvu", "qd_depthwise"}
