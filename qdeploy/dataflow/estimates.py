"""What each hardware layer is estimated to take: by the measured costs of its blocks, and by FINN.

FINN's figures are for its own hardware of the same layers and foldings, RTL before HLS; it has none
for some operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.artifacts import write_json
from qdeploy.build_folder import ESTIMATES_FILE
from qdeploy.dataflow.finn.nodes import hw_nodes
from qdeploy.dataflow.finn.resource_models import Estimate, finn_estimates
from qdeploy.observer import ignore

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.dataflow.cost.blocks import BlockCosts
    from qdeploy.dataflow.cost.usage import ResourceUsage


def block_usage(model: ModelWrapper, costs: BlockCosts) -> dict[str, ResourceUsage]:
    """What the blocks of each layer cost, by node name."""
    return {
        node.name: costs.total(
            (instance.block.module, instance.block.measures)
            for instance in node.instance.unit(model).instances
        )
        for node in hw_nodes(model)
    }


def write_estimates(
    folder: Path,
    model: ModelWrapper,
    part: str,
    costs: BlockCosts,
    note: Callable[[str], None] = ignore,
) -> None:
    """Write `estimates.json` into `folder`: both estimates of every layer of a folded model.

    Args:
        part: FINN's models are for a part.
        costs: measured costs of blocks.
        note: takes why there is no estimate of FINN, where there is none.
    """
    finn = finn_estimates(model, part, note)
    layers: dict[str, Any] = {}
    for name, usage in block_usage(model, costs).items():
        ours = Estimate(usage.lut, usage.bram18 / 2, usage.dsp)
        theirs = finn[name]
        layers[name] = {"qdeploy": asdict(ours), "finn": theirs and asdict(theirs)}
    write_json(folder / ESTIMATES_FILE, {"part": part, "layers": layers})
