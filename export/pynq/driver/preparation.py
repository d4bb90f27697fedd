"""From what the driver takes to input codes, as the package has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .bundle import BundleError
from .input_codes import InputPreparation
from .npz import read_npz

FILE = "input.npz"


def load(root: Path, bundle: dict[str, Any]) -> InputPreparation:
    """The preparation of a package's input.

    Raises:
        BundleError: it is missing or damaged, or not of this accelerator.
    """
    path, source = root / FILE, bundle["input"]
    try:
        (thresholds,) = read_npz(path, ("thresholds",))
        if thresholds.dtype != np.float32:
            raise ValueError("its thresholds are no float32 numbers")
        found = InputPreparation.of_record(source["preparation"], thresholds)
    except (OSError, ValueError, OverflowError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the whole package") from error
    shape = found.code_shape
    stream = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    if [found.lo, found.hi] != source["range"] or list(stream) != source["stream_shape"]:
        raise BundleError(f"{path} is not of this accelerator; copy the whole package")
    return found
