"""Names of hardware: from a layer of the network to modules, instances, files and ports.

Every hardware layer is called `<layer>_<kind>`, with the layer's path in dots as an identifier. The
kind keeps the name apart from Verilog's keywords. Names differ by more than the case of letters,
since some of them are files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# Room for endings such as `_fill_w` and `_w.hex`: file systems take 255 characters.
LONGEST = 100
DIGEST = 8


def identifier(text: str) -> str:
    """`text` as a Verilog identifier: dots and other signs become underscores.

    A long one is cut and ends in a digest of the whole text.
    """
    plain = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"n_{plain}".rstrip("_")
    if len(plain) <= LONGEST:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST]
    return f"{plain[: LONGEST - DIGEST - 1]}_{digest}"


def distinct(names: Iterable[str]) -> list[str]:
    """The names in order; a repeated one, in whatever case, gets a number at its end."""
    wanted = list(names)
    first = {name.lower() for name in wanted}
    taken: set[str] = set()
    result = []
    for name in wanted:
        unique, number = name, 0
        while unique.lower() in taken or (number and unique.lower() in first):
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique.lower())
        result.append(unique)
    return result
