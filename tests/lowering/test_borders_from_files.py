"""Padding around activations whose code 0 does not mean 0: exact at every kind of place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_file import SmallFile, check_file

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, MaxPool, Threshold
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower

Change = Callable[[SmallFile, str], str]
CHANNELS, OUTPUTS, SIDE = 4, 3, 6


def shifted(file: SmallFile, codes: str) -> str:
    """A term for each channel, none of them on the codes' grid."""
    return file.op("Add", codes, file.const(np.array([0.3, -0.7, 0.1, 0.9]).reshape(1, 4, 1, 1)))


def scalar(file: SmallFile, codes: str) -> str:
    return file.op("Add", file.op("Mul", codes, file.const(-0.3)), file.const(0.173))


def normed(file: SmallFile, codes: str) -> str:
    """Batch norm with factors and terms of any value, some factors negative."""
    gamma = file.random.uniform(0.5, 1.5, CHANNELS) * [1, -1, 1, 1]
    beta, mean = file.random.normal(size=(2, CHANNELS)) * 0.3
    values = (gamma, beta, mean, file.random.uniform(0.5, 2, CHANNELS))
    return file.op("BatchNormalization", codes, *map(file.const, values))


def powers(file: SmallFile, codes: str) -> str:
    factors = np.array([0.5, 1, -2, 0.25]).reshape(1, 4, 1, 1)
    return shifted(file, file.op("Mul", codes, file.const(factors)))


def network(
    folder: Path, before: Change, after: Change, window: dict[str, Any], groups: int = 1
) -> Path:
    """Codes, something, a padded convolution, something that ends in codes."""
    file = SmallFile((3, SIDE, SIDE), 7)
    codes = file.quant(file.conv(file.codes, (CHANNELS, 3, 3, 3), pad=1), 0.25, 3, signed=0)
    kernel = window["kernel_shape"]
    outputs = CHANNELS if groups > 1 else OUTPUTS
    weights = file.weights((outputs, CHANNELS // groups, *kernel))
    sums = file.op("Conv", before(file, codes), weights, group=groups, **window)
    path = file.save(folder / "file.onnx", after(file, sums), (1,))
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    return path


def coded(file: SmallFile, sums: str) -> str:
    return file.quant(sums, 0.5, 4)


def exact(folder: Path, *given: Any, **more: Any) -> Lowered:
    return check_file(network(folder, *given, **more), folder, frames=8, ties=True)


WINDOWS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_shape": [3, 3], "pads": [1] * 4},
    "3x3, one side": {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2]},
    "5x5": {"kernel_shape": [5, 5], "pads": [2] * 4},
    "3x5, dilated": {"kernel_shape": [3, 5], "pads": [2, 4, 2, 4], "dilations": [2, 2]},
    "1x3": {"kernel_shape": [1, 3], "pads": [0, 1, 0, 1]},
    "2x2 far out": {"kernel_shape": [2, 2], "pads": [3, 0, 2, 1], "strides": [1, 2]},
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("before", [shifted, scalar, powers])
def test_every_window_at_the_border_gets_what_its_own_taps_add(
    before: Change, window: str, tmp_path: Path
) -> None:
    exact(tmp_path, before, coded, WINDOWS[window])


def test_a_depthwise_convolution_takes_any_batch_norm_before_it(tmp_path: Path) -> None:
    exact(tmp_path, normed, coded, WINDOWS["3x3"], groups=CHANNELS)


def test_groups_are_corrected_too(tmp_path: Path) -> None:
    file = SmallFile((3, SIDE, SIDE), 8)
    codes = file.quant(file.conv(file.codes, (CHANNELS, 3, 3, 3), pad=1), 0.25, 3, signed=0)
    sums = file.conv(shifted(file, codes), (6, 2, 3, 3), pad=1, group=2)
    path = file.save(tmp_path / "file.onnx", coded(file, sums), (6, SIDE, SIDE))
    check_file(path, tmp_path, frames=8, ties=True)


AFTER: dict[str, Change] = {
    "batch norm of negative factors": lambda f, y: coded(
        f, f.op("Mul", y, f.const(np.array([-1.5, 0.7, -0.3]).reshape(1, 3, 1, 1)))
    ),
    "ReLU": lambda f, y: f.quant(f.op("Relu", y), 0.3, 4),
    "signs": lambda f, y: f.bipolar(y, 0.5),
    "leaky": lambda f, y: coded(f, f.op("LeakyRelu", y, alpha=0.25)),
    "max-pool": lambda f, y: coded(f, f.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])),
    "scale per channel": lambda f, y: f.quant(y, np.array([0.5, 0.3, 1.25]).reshape(1, 3, 1, 1), 4),
    "the next padded convolution": lambda f, y: coded(f, f.conv(coded(f, y), (3, 3, 3, 3), 1)),
    "two quantizers": lambda f, y: f.op(
        "Concat", coded(f, y), f.quant(f.op("Neg", y), 0.5, 3), axis=1
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_what_stands_before_the_quantizer_is_taken_at_every_place(
    name: str, tmp_path: Path
) -> None:
    lowered = exact(tmp_path, shifted, AFTER[name], WINDOWS["3x3"])
    pools = [node for node in lowered.graph.nodes if isinstance(node, MaxPool)]
    assert len(pools) == (name == "max-pool")


def test_there_is_a_correction_only_where_code_0_does_not_mean_0(tmp_path: Path) -> None:
    plain = exact(tmp_path, lambda _, codes: codes, coded, WINDOWS["3x3"])
    assert [type(node).__name__ for node in plain.graph.nodes][-2:] == ["Conv", "Threshold"]
    named = {node.name for node in exact(tmp_path, shifted, coded, WINDOWS["3x3"]).graph.nodes}
    assert any(name.endswith(".places") for name in named)


def test_kinds_of_places_lie_one_after_the_other_in_one_table(tmp_path: Path) -> None:
    graph = exact(tmp_path, shifted, coded, WINDOWS["3x3"]).graph
    ranks = next(tensor for name, tensor in graph.tensors.items() if name.endswith(".place"))
    assert (ranks.lo, ranks.hi) == (0, 8)
    levels = next(n for n in graph.nodes if n.output.endswith(".levels"))
    assert isinstance(levels, Threshold) and levels.thresholds.shape[1] % 9 == 0
    # No sum of one kind is one of another.
    apart = next(n for n in graph.nodes if n.output.endswith(".apart"))
    sums = next(n for n in graph.nodes if n.output.endswith(".spread")).inputs[0]
    assert isinstance(apart, Conv)
    assert (apart.weights > graph.tensors[sums].hi - graph.tensors[sums].lo).all()


@pytest.mark.parametrize(
    ("after", "said", "do"),
    [
        (lambda f, y: y, "ends in a Conv without quantizer", "quantizer"),
        (lambda f, y: f.quant(y, 2.0**-6, 12), "4,0", "fewer bits"),
        (
            lambda f, y: f.op(
                "Resize",
                y,
                "",
                f.const([1, 1, 2, 2]),
                mode="nearest",
                nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            ),
            "another thing at the border",
            "put a quantizer",
        ),
    ],
)
def test_where_no_table_can_correct_the_border_the_refusal_has_a_way_out(
    after: Change, said: str, do: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(network(tmp_path, shifted, after, WINDOWS["3x3"]))
    assert said in str(caught.value)
    assert do in str(caught.value.do)


def test_scales_per_channel_before_a_full_convolution_are_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="one scale per channel") as caught:
        lower(network(tmp_path, normed, coded, WINDOWS["3x3"]))
    assert "powers of two" in str(caught.value.do)
