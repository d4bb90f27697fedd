"""$countones as a function, for Yosys.

Yosys 0.23 knows the system function, but copies its argument for each bit: a dot product of 144
lanes takes half a minute. The function is what IEEE 1800-2017 20.9 says, the number of bits that
are 1, of type `int`; the argument stands in braces, so that it has the width that it has by itself.
An argument that is wider than the function's would be cut: there the result is undefined instead,
which no proof takes.
"""

from __future__ import annotations

import re

from qdeploy.verify.sums.results import NotProvedError

_CALL = re.compile(r"\$countones\s*\(")
_NAME = "qd_ones_of"


def with_function(text: str, bits: int) -> str:
    """A module's text with calls of a function of its own.

    Args:
        bits: of the function's argument.

    Raises:
        NotProvedError: a call does not end, or the text has no one module.
    """
    result, at = [], 0
    while call := _CALL.search(text, at):
        end = _closing(text, call.end())
        argument = f"{{{text[call.end() : end]}}}"
        result += [
            text[at : call.start()],
            f"($bits({argument}) <= {bits} ? {_NAME}({argument}) : 32'sdx)",
        ]
        at = end + 1
    if not result:
        return text
    whole = "".join([*result, text[at:]])
    if _NAME in text or len(re.findall(r"\bendmodule\b", whole)) != 1:
        raise NotProvedError("the text is not of one module, or has the name of the function")
    return re.sub(r"\bendmodule\b", f"{_function(bits)}endmodule", whole)


def _closing(text: str, at: int) -> int:
    depth = 1
    for index in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if not depth:
            return index
    raise NotProvedError("a call of $countones does not end")


def _function(bits: int) -> str:
    return (
        f"  function signed [31:0] {_NAME};\n"
        f"    input [{bits - 1}:0] x;\n"
        "    integer k;\n"
        "    begin\n"
        f"      {_NAME} = 0;\n"
        f"      for (k = 0; k < {bits}; k = k + 1) {_NAME} = {_NAME} + x[k];\n"
        "    end\n"
        "  endfunction\n"
    )
