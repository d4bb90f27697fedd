"""Codes of many frames in the narrowest type that their tensor's interval fits.

A thousand frames of a small residual network are a hundred million codes, mostly of two bits: as
int64 they take a gigabyte for each level that is compared. A code outside of its interval is an
error that a rung has to see, so nothing is ever cut: an array with such a code stays wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import Tensor

Narrow = npt.NDArray[np.integer]
_KINDS = (np.uint8, np.int8, np.uint16, np.int16, np.int32)


def code_type(tensor: Tensor) -> np.dtype[Any]:
    """The narrowest type that holds every code of a tensor's interval."""
    fitting = (
        kind
        for kind in _KINDS
        if np.iinfo(kind).min <= tensor.lo and tensor.hi <= np.iinfo(kind).max
    )
    return np.dtype(next(fitting, np.int64))


def narrow(codes: Narrow, kind: np.dtype[Any]) -> Narrow:
    """The same codes as `kind`, or as int64 where one of them is not of that type."""
    if codes.dtype == kind:
        return codes
    small = codes.astype(kind)
    return small if np.array_equal(small, codes) else codes.astype(np.int64)


def joined(parts: Sequence[dict[str, Narrow]]) -> dict[str, Narrow]:
    """Codes of all frames from those of some frames each; empties the parts, tensor by tensor."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
