"""Fit of measured blocks: nonnegative coefficients with the least squared relative error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from qdeploy.dataflow.cost.blocks import FEATURES
from qdeploy.dataflow.cost.features import Features

FOLDS = 5
# How strongly coefficients are held where they are expected.
RIDGE = 0.15
# Errors of blocks smaller than this count as if the block were so large.
FLOOR = 24.0


def fitted(module: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Coefficients of each variant and how well they do, for `hw/costs`.

    `fit` holds the mean and the largest relative error of LUTs in the fit, the mean one of rows
    left out of it in turn (`FOLDS` parts), and how many rows' BRAM18 or DSP differ.
    """
    found = [FEATURES[module](row["parameters"]) for row in rows]
    variants = sorted({one.variant for one in found})
    made: dict[str, Any] = {}
    errors: list[float] = []
    unseen: list[float] = []
    for variant in variants:
        mine = [(f, r) for f, r in zip(found, rows, strict=True) if f.variant == variant]
        X, y, known = _system(mine, "lut")
        coefficients = _solve(X, y, known)
        errors += list(_relative(X, y, known, coefficients))
        for part in range(FOLDS if len(mine) >= FOLDS else 0):
            out = np.arange(len(mine)) % FOLDS == part
            others = _solve(X[~out], y[~out], known[~out])
            unseen += list(_relative(X[out], y[out], known[out], others))
        Z, flops, none = _system(mine, "ff")
        of_flops = _solve(Z, flops, none)
        made[variant] = {
            "lut": {f"{i}": round(float(c), 4) for i, c in enumerate(coefficients)},
            "ff": {f"{i}": round(float(c), 4) for i, c in enumerate(of_flops)},
        }
    wrong = sum(
        (f.bram18, f.dsp) != (r["bram18"], r["dsp"]) for f, r in zip(found, rows, strict=True)
    )
    fit = {
        "rows": len(rows),
        "lut_mean": round(float(np.mean(errors)), 4),
        "lut_max": round(float(np.max(errors)), 4),
        "lut_unseen_mean": round(float(np.mean(unseen)), 4) if unseen else None,
        "wrong_bram_or_dsp": wrong,
    }
    return {"variants": made, "fit": fit}


def _system(
    rows: Sequence[tuple[Features, dict[str, Any]]], kind: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Counts, measured numbers, and what of them is known without a fit."""
    X = np.array([getattr(f, kind) for f, _ in rows], dtype=float)
    y = np.array([row[kind] for _, row in rows], dtype=float)
    known = np.array([f.fixed_lut if kind == "lut" else 0 for f, _ in rows], dtype=float)
    return X, y, known


def _solve(
    X: npt.NDArray[Any], y: npt.NDArray[Any], known: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    weight = 1.0 / np.maximum(y, FLOOR)
    # Counts are made so that each stands for about one LUT or flip-flop: where the rows do not tell
    # coefficients apart, they stay near one (the constant, which comes first, near none).
    ridge = RIDGE * np.maximum(np.abs(X * weight[:, None]).max(axis=0), 1e-6)
    expected = np.ones(X.shape[1])
    expected[0] = 0.0
    A = np.vstack([X * weight[:, None], np.diag(ridge)])
    b = np.concatenate([(y - known) * weight, ridge * expected])
    solution: npt.NDArray[np.float64] = nnls(A, b)[0]
    return solution


def _relative(
    X: npt.NDArray[Any], y: npt.NDArray[Any], known: npt.NDArray[Any], c: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    return np.abs(X @ c + known - y) / np.maximum(y, FLOOR)
