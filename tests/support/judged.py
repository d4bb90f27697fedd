"""A float level of a QONNX file against its integers, as exact arithmetic sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.verify.float_levels import FloatLevel
from qdeploy.verify.judge import Verdict, judge


def judged(path: Path, codes: np.ndarray, level: FloatLevel, *, argmax: bool = False) -> Verdict:
    """What exact arithmetic says of a level on input codes (N, *shape)."""
    model = canonical(path, probe=False)
    lowered = lower_model(model, argmax=argmax)
    expected = run_reference(lowered.graph, codes)
    return judge(lowered, model, np.asarray(codes), expected, level.codes, level.logits)
