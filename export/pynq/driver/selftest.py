"""The self-test: golden frames through the FPGA, every integer compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import golden as goldens
from .errors import AcceleratorError

if TYPE_CHECKING:
    from .accelerator import Accelerator

# Seconds on the board that a self-test may spend on a batch of more than one full transfer: half of
# what the driver waits for a transfer.
LONG_SECONDS = 5.0


def run(accelerator: Accelerator) -> dict[str, Any]:
    """See `Accelerator.selftest`."""
    raw, packed, expected = goldens.load(accelerator.root, accelerator.bundle)
    if accelerator.weights is not None:
        expected = accelerator.weights.outputs
        if len(expected) != len(raw):
            raise AcceleratorError(
                f"the weights bring {len(expected)} golden results for {len(raw)} frames: make the"
                " file again from the build of this package"
            )
    count = len(raw)
    mine = np.zeros_like(packed)
    accelerator.layout.to_beats(raw, mine)
    batch = accelerator.infer_codes(raw)
    single = np.concatenate([accelerator.infer_codes(frame) for frame in raw])
    expected = expected.reshape(batch.shape)
    many, limit = _long_batch(accelerator, count)
    order = np.arange(many) % count
    long = accelerator.infer_codes(raw[order], transfer=limit)
    wrong = {
        "packing_mismatches": int((mine != packed).sum()),
        "batch_mismatches": int((batch != expected).sum()),
        "single_mismatches": int((single != expected).sum()),
        "long_batch_mismatches": int((long != expected[order]).sum()),
    }
    return {
        "passed": not any(wrong.values()),
        "frames": count,
        "codes": int(expected.size),
        **wrong,
        "long_batch_frames": many,
        "first": _first(batch, expected)
        or _first(single, expected)
        or _first(long, expected[order]),
    }


def _long_batch(accelerator: Accelerator, golden: int) -> tuple[int, int]:
    """Frames of a batch longer than one transfer, and frames in one transfer of it."""
    most = accelerator.max_batch
    cycles = (most + 1) * accelerator.bundle["cycles_per_frame"]
    if cycles <= LONG_SECONDS * accelerator.clock_mhz * 1e6:
        return most + 1, most
    return golden, max(1, min(most, golden // 2))


def _first(found: np.ndarray, expected: np.ndarray) -> dict[str, int] | None:
    """Where two results differ first: frame, element in the stream's order, both values."""
    found, expected = (values.reshape(len(values), -1) for values in (found, expected))
    where = np.argwhere(found != expected)
    if not len(where):
        return None
    frame, element = (int(index) for index in where[0])
    return {
        "frame": frame,
        "element": element,
        "found": int(found[frame, element]),
        "expected": int(expected[frame, element]),
    }
