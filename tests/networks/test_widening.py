"""A multiplier widens every layer but input and head (WRPN), in each family of networks."""

import pytest
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe

FC = {"type": "fcdnn", "width": 10, "depth": 2}
CONV = {
    "type": "convnet",
    "stages": [{"channels": 4}, {"channels": 6, "pool": 2}],
    "hidden": [8],
}


def recipe(network: dict[str, object], **quantization: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "network": network,
            "quantization": quantization,
            "data": {"name": "digits"},
            "phases": [
                {"name": "float", "kind": "pretrain", "epochs": 1},
                {"name": "retrain", "kind": "retrain", "epochs": 1},
            ],
        }
    )


def widths(network: dict[str, object]) -> list[int]:
    layers = build_network(recipe(network), quantized=False).modules()
    return [len(one.weight) for one in layers if isinstance(one, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize(("network", "plain"), [(FC, [10, 10]), (CONV, [4, 6, 8])])
@pytest.mark.parametrize("multiplier", [0.5, 1.5, 2.0, 3.25])
def test_every_width_is_multiplied_and_the_classes_are_not(network, plain, multiplier) -> None:
    wide = widths({**network, "multiplier": multiplier})
    assert wide == [round(one * multiplier) for one in plain] + [10]


def test_a_layer_keeps_a_unit_however_small_the_multiplier() -> None:
    assert widths({**FC, "multiplier": 0.001}) == [1, 1, 10]


def test_a_wider_network_of_fewer_bits_becomes_integers() -> None:
    bits = {"weight_bits": 1, "activation_bits": 1, "first_layer_bits": 1, "last_layer_bits": 1}
    network = build_network(recipe({**CONV, "multiplier": 2}, **bits), quantized=True)
    graph = lower_untrained(network)
    shapes = [node.weights.shape[0] for node in graph.nodes if hasattr(node, "weights")]
    assert shapes == [8, 12, 16, 10]


def test_a_multiplier_that_makes_layers_too_wide_is_refused_with_the_limit(tmp_path) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text(
        "name: wide\nnetwork: {type: fcdnn, width: 60000, multiplier: 2}\nphases:\n"
        "  - {name: float, kind: pretrain, epochs: 1}\n"
        "  - {name: retrain, kind: retrain, epochs: 1}\n"
    )
    with pytest.raises(RecipeError, match=r"60000 units or channels has 120,000 .* at most 65,536"):
        load_recipe(path)
