"""Amounts on the command line: a number, or a share of what there is."""

from __future__ import annotations

import re
from typing import Any

import click

Amount = tuple[float, bool]  # a number, and whether it is a share in per cent


class AmountType(click.ParamType):
    """`8000`, or `20%`."""

    name = "AMOUNT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Amount:
        """The amount; the command fails for other text."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value).replace(",", ""))
        if found is None or (not found[2] and "." in found[1]):
            self.fail(f"`{value}` is neither a number, such as 8000, nor a share, such as 20%")
        return float(found[1]), bool(found[2])


def number_of(amount: Amount | None, whole: float) -> int | None:
    """The amount as a number, of `whole` where it is a share; None where none was given."""
    if amount is None:
        return None
    number, is_share = amount
    return int(number * whole / 100) if is_share else int(number)
