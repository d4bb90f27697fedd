"""Files as people have them, made here: which there are, and how one is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dialect:
    """One file.

    Args:
        name: unique; `family/what it asks`.
        write: writes it to a path.
        raw: as of `--input`, for a file that does not say what its input is.
        large: too large for exact arithmetic, element by element.
    """

    name: str
    write: Callable[[Path], None]
    raw: str | None = None
    large: bool = False


def all_dialects(only: str = "") -> list[Dialect]:
    """Every file whose name contains `only`, in a fixed order; importing torch where it is used."""
    from dialects_brevitas import brevitas_files
    from dialects_decimal import decimal_files
    from dialects_enlarging import enlarging_files
    from dialects_examples import example_files
    from dialects_finn import finn_files
    from dialects_inputs import input_files
    from dialects_layers import layer_files
    from dialects_onnxruntime import onnxruntime_files
    from dialects_outputs import output_files
    from dialects_sequences import sequence_files
    from dialects_streamlined import streamlined_files
    from dialects_written import written_files

    every = [
        *written_files(),
        *input_files(),
        *layer_files(),
        *sequence_files(),
        *enlarging_files(),
        *finn_files(),
        *streamlined_files(),
        *onnxruntime_files(),
        *output_files(),
        *decimal_files(),
        *brevitas_files(),
        *example_files(),
    ]
    return [one for one in every if only in one.name]


def by_hand() -> list[Dialect]:
    """Those that need neither torch nor a quantizer's calibration: fast."""
    from dialects_enlarging import enlarging_files
    from dialects_finn import finn_files
    from dialects_inputs import input_files
    from dialects_layers import layer_files
    from dialects_sequences import sequence_files
    from dialects_written import written_files

    return [
        *written_files(),
        *input_files(),
        *layer_files(),
        *sequence_files(),
        *enlarging_files(),
        *finn_files(),
    ]
