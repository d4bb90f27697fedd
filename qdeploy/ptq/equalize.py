"""Cross-layer equalization of a float network, through Brevitas.

Channel c of a layer may be divided by s_c where every reader multiplies by s_c again: through ReLU,
max-pooling and sums the network computes the same. s_c is chosen so that the largest weights of the
channel are as large before as behind it (Nagel et al. 2019, section 4.1); channels then share a
scale with less loss.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from brevitas.fx import symbolic_trace
from brevitas.graph.equalize import EqualizeGraph
from torch import nn

from qdeploy.errors import InternalError, UserError

# Rounding of a deep network in float32, relative to the largest logit.
TOLERANCE = 1e-3
# What Brevitas' tracer raises for control flow, unknown calls and missing parts.
_NOT_TRACED = (ValueError, TypeError, AttributeError, LookupError, RuntimeError)


def equalized(network: nn.Module, batches: Sequence[torch.Tensor]) -> nn.Module:
    """An equalized copy of a float network in evaluation mode, with the same names.

    Args:
        batches: of its input; the first one shows that it computes the same.

    Raises:
        UserError: the network cannot be traced.
    """
    changed = copy.deepcopy(network).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", UserWarning)  # pairs of layers that are left as they are
        try:
            traced = symbolic_trace(changed)
        except _NOT_TRACED as error:
            raise UserError(
                "the network cannot be equalized",
                why=f"tracing it failed: {error}",
                do="leave out the method `equalize`",
            ) from error
        # The graph's modules are those of the copy.
        EqualizeGraph().apply(traced)
        _check_same(network, changed, batches[0])
    return changed


def _check_same(before: nn.Module, after: nn.Module, batch: torch.Tensor) -> None:
    old, new = before(batch), after(batch)
    off = float((old - new).abs().max() / old.abs().max().clamp_min(1e-12))
    if not off < TOLERANCE:
        raise InternalError(f"equalization changed the network's output by {off:.2g}")
