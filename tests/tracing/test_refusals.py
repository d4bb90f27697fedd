"""What cannot be traced or quantized is refused, with the lines of the person's code."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qdeploy.api.quantize import quantize
from qdeploy.errors import RecipeError, UnsupportedLayerError, UserError

HERE = Path(__file__).name
EXAMPLE = torch.rand(4, 3, 8, 8)


def line_of(text: str) -> int:
    """Of the first line of this file that holds the text."""
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


class Decides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y if y.sum() > 0 else -y  # a decision


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.GELU()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.conv(x))  # a curve
        x = x * self.gate(x)  # a product
        a, b = torch.chunk(self.norm(x), 2, dim=1)
        return F.softplus(torch.cat([b, a], 1)).mean((2, 3))


def test_a_decision_by_values_is_named_with_its_line() -> None:
    with pytest.raises(UnsupportedLayerError) as caught:
        quantize(nn.Sequential(nn.Identity(), Decides()), 4, EXAMPLE)
    assert caught.value.what == "`1` of `Sequential` cannot be traced"
    assert f"{HERE}:{line_of('# a decision')}: return y if" in str(caught.value.where)
    assert "control flow" in str(caught.value.why)


def test_all_layers_without_integers_are_named_at_once_with_lines_and_forms() -> None:
    with pytest.raises(UnsupportedLayerError) as caught:
        quantize(Attends(), 4, EXAMPLE)
    text = str(caught.value)
    assert text.startswith("6 operations of `Attends` cannot be quantized")
    assert f"{HERE}:{line_of('# a curve')}: x = self.act" in text
    assert f"{HERE}:{line_of('# a product')}: x = x * self" in text
    named = ("`act` (GELU)", "`gate.2` (Sigmoid)", "`mul` (mul)", "`norm` (GroupNorm)")
    for one in (*named, "`chunk` (chunk)", "`softplus` (softplus)"):
        assert one in text
    assert "use nn.ReLU, nn.ReLU6 or nn.LeakyReLU" in text
    assert "`conv`" not in text and "getitem" not in text


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (4, 3), (4, 3, 2, 2)])
def test_an_example_of_a_wrong_shape_is_named_with_the_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as caught:
        quantize(Attends(), 4, torch.rand(shape))
    assert f"does not take the example, whose shape is {shape}" in caught.value.what
    assert f"{HERE}:{line_of('# a curve')}" in str(caught.value.where)


@pytest.mark.parametrize("bits", [0, 9, -1, (4, 0), {"weight_bits": 3.5}, "nowhere.yaml", None])
def test_bits_out_of_range_are_refused(bits: object) -> None:
    with pytest.raises(RecipeError):
        quantize(nn.Sequential(nn.Conv2d(3, 4, 3)), bits, EXAMPLE)  # type: ignore[arg-type]


def test_float_widths_and_patterns_without_a_layer_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(RecipeError, match="cannot become integers"):
        quantize(net, {"weight_bits": "float"}, EXAMPLE)
    with pytest.raises(RecipeError, match="has a name that matches `body"):
        quantize(net, {"layers": {"body.*": {"weight_bits": 4}}}, EXAMPLE)


@pytest.mark.parametrize(
    ("example", "input_range", "part"),
    [
        (torch.randn(4, 3, 8, 8), None, "the input from 0 to 1"),
        (EXAMPLE * 3, (0, 2.0), "input_range="),
        (EXAMPLE, (0.5, 1.5), "holds 0"),
        (EXAMPLE.to(torch.int64), None, "torch.int64"),
        (EXAMPLE[0, 0, 0], None, "no batch of frames"),
        (EXAMPLE * torch.inf, None, "not finite"),
        (EXAMPLE.numpy(), None, "ndarray"),
    ],
)
def test_an_example_that_is_no_input_is_refused(
    example: torch.Tensor, input_range: tuple[float, float] | None, part: str
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(UserError) as caught:
        quantize(net, 4, example, input_range=input_range)
    assert part in str(caught.value)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.conv.weight, -1.0)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.relu(y) + y  # y is rectified by now


def test_an_activation_changed_in_place_is_not_taken_for_the_one_before() -> None:
    with pytest.raises(UnsupportedLayerError, match="does not compute what the module computes"):
        quantize(InPlace(), 4, EXAMPLE)


@pytest.mark.parametrize(
    ("last", "part"),
    [
        (lambda x: (x, x), "it gives 2 values"),
        (lambda x: {"logits": x}, "a dictionary with logits"),
        (lambda x: torch.ones(3), "a constant"),
    ],
)
def test_a_network_of_several_results_is_refused(last: object, part: str) -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> object:
            return last(self.conv(x))  # type: ignore[operator]

    with pytest.raises(UnsupportedLayerError) as caught:
        quantize(Several(), 4, EXAMPLE)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "padding_mode='zeros'"),
        (nn.Conv2d(3, 4, 2, padding="same"), "odd kernel"),
        (nn.BatchNorm2d(3, track_running_stats=False), "track_running_stats=True"),
        (nn.Linear(8, 4), "flatten"),
        (nn.AdaptiveAvgPool2d(3), "divides the map's"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), "remove_parametrizations"),
        (nn.LSTM(8, 8), "use convolutions over the series"),
        (nn.ReLU(), "no convolution and no fully connected layer"),
    ],
)
def test_settings_without_integers_are_refused(layer: nn.Module, part: str) -> None:
    example = EXAMPLE[:, 0] if isinstance(layer, nn.LSTM) else EXAMPLE
    with pytest.raises(UserError) as caught:
        quantize(nn.Sequential(layer), 4, example)
    assert part in str(caught.value)


def test_a_quantized_module_is_not_quantized_again() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(UserError, match="is quantized already"):
        quantize(quantize(net, 4, EXAMPLE), 4, EXAMPLE)
    with pytest.raises(RecipeError, match="needs 2 bits"):
        quantize(net, {"input_bits": 1}, EXAMPLE, input_range=(-1.0, 1.0))


def test_the_module_is_left_alone() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    net[1].eval()
    quantize(net, 4, EXAMPLE)
    assert isinstance(net[0].weight, nn.UninitializedParameter)
    assert net.training and not net[1].training
