"""Every family becomes integers: the integer graph's logits are those of the deployed network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]
SHAPE = (2, 9, 7)
STAGES = [
    {"expansion": 1, "channels": 8, "blocks": 1},
    {"expansion": 2, "channels": 8, "blocks": 2, "stride": 2},
]
NETWORKS = {
    "fcdnn": {"type": "fcdnn", "width": 11, "depth": 3, "residual": True},
    **{
        block: {"type": "resnet", "block": block, "blocks": [1, 2], "width": 5}
        for block in ("basic", "preact", "depthwise", "bottleneck")
    },
    "preact-bottleneck": {
        "type": "resnet",
        "block": "preact-bottleneck",
        "blocks": [1, 1],
        "width": 3,
        "stem": "7x7-pool",
    },
    "mobilenetv2": {"type": "mobilenetv2", "stages": STAGES, "last_channels": 13},
    "deeplab": {"type": "deeplab", "stages": STAGES, "top_channels": 9, "output_stride": 2},
}
SETTINGS = [
    *((network, {}) for network in NETWORKS),
    ("basic", {"scale": "power_of_two", "residual_bits": 4, "weight_scaling": "per_channel"}),
    ("preact", {"weight_bits": 1, "layers": {"group2.*": {"activation_bits": 5}}}),
    ("mobilenetv2", {"weight_levels": "all", "residual_bits": 3}),
]


@pytest.mark.parametrize(
    ("network", "quantization"),
    SETTINGS,
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "w2a2",
)
def test_integer_logits_are_those_of_the_network(network, quantization, tmp_path: Path):
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "network": NETWORKS[network],
            "quantization": quantization,
            "phases": PHASES,
        }
    )
    net = calibrated_random(recipe, seed=4, shape=SHAPE, classes=7)
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(net, SHAPE, path)
    graph = lower(path)
    frames = pattern_frames(SHAPE, 6, seed=8)
    with torch.no_grad():
        wanted = deployed_network(net, path)(frames.float() / 256).numpy()
    found = run_reference(graph, frames.numpy().astype(np.int64))["logits"]
    assert len(np.unique(found)) > 20
    np.testing.assert_array_equal(
        found, np.rint(wanted.astype(np.float64) / float(graph.head.gain[0]))
    )
