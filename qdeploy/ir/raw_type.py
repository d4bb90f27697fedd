"""What a raw integer of the input is, as people and files write it: `uint8:1/255`, `int8:0.5:3`."""

from __future__ import annotations

import re
from fractions import Fraction

from qdeploy.errors import UserError
from qdeploy.ir.input_codes import MAX_RAW_BITS, RawType, fraction_text

EXAMPLE = "uint8:1/255"
_TEXT = re.compile(
    r"(?P<sign>u?)int(?P<bits>[0-9]{1,2})"
    r"(:(?P<scale>[0-9]{1,12}/[0-9]{1,12}|[0-9]{0,12}\.?[0-9]{1,20}(e[+-]?[0-9]{1,2})?)"
    r"(:(?P<zero>-?[0-9]{1,6}))?)?",
    re.ASCII | re.IGNORECASE,
)
# Of a step: float32 holds every raw value with all its digits.
_SMALLEST, _LARGEST = Fraction(1, 1 << 100), Fraction(1 << 100)
# FINN's names of types that are no `INT…` or `UINT…`.
_FINN = {"BINARY": (0, 1), "BIPOLAR": (-1, 1), "TERNARY": (-1, 1)}


def parse_raw_type(text: str) -> RawType:
    """The type of a text TYPE[:SCALE[:ZERO]]: x = SCALE · (raw - ZERO).

    Args:
        text: TYPE is uint1 … uint16 or int2 … int16; SCALE, 1 by default, a fraction or a decimal
            number, taken exactly; ZERO, 0 by default, an integer.

    Raises:
        UserError: it is no such text.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise _wrong(text, "it is not of the form TYPE[:SCALE[:ZERO]]")
    bits, signed = int(found["bits"]), not found["sign"]
    if not 1 + signed <= bits <= MAX_RAW_BITS:
        raise _wrong(text, f"raw integers have {1 + signed} to {MAX_RAW_BITS} bits")
    numbers = (found["scale"] or "1").split("/")
    if len(numbers) == 2 and int(numbers[1]) == 0:
        raise _wrong(text, "its scale is divided by 0")
    scale = Fraction(found["scale"] or "1")
    if not _SMALLEST <= scale <= _LARGEST:
        raise _wrong(text, "a scale is positive, and neither tiny nor huge")
    lo, hi = _bounds(bits, signed)
    zero = int(found["zero"] or 0)
    if abs(zero) > 1 << MAX_RAW_BITS:
        raise _wrong(text, f"a zero point has at most {MAX_RAW_BITS} bits")
    return RawType(lo, hi, scale, zero)


def raw_type_text(raw: RawType) -> str:
    """The text that `parse_raw_type` reads; for a type with bounds of its own the narrowest that
    holds them."""
    return f"{raw.name}:{fraction_text(raw.scale)}:{raw.zero}"


def finn_raw_type(name: str) -> RawType | None:
    """The integers of a FINN data type such as `UINT8` or `BIPOLAR`, None for any other type."""
    if name in _FINN:
        return RawType(*_FINN[name])
    found = re.fullmatch(r"(U?)INT([0-9]{1,2})", name, re.ASCII)
    if found is None or not 2 - bool(found[1]) <= int(found[2]) <= MAX_RAW_BITS:
        return None
    return RawType(*_bounds(int(found[2]), not found[1]))


def _bounds(bits: int, signed: bool) -> tuple[int, int]:
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _wrong(text: str, why: str) -> UserError:
    return UserError(
        f"`{text[:80]}` says no type of the input",
        why=why,
        do=f"write `--input {EXAMPLE}`, `--input int8:0.0078125`, or with a zero point "
        "`--input uint8:1/128:128`: x = SCALE x (raw - ZERO)",
    )
