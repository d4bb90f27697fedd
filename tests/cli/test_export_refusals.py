"""What `qdeploy export` refuses, files and options: exit code, message, and how early."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_files import SmallNetwork
from onnx import helper
from random_qonnx import QonnxMaker

from qdeploy.cli.main import qdeploy, run
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integers.lower import lower

Change = Callable[[SmallNetwork], None]
F = np.float32
NAN, INFINITE = F("nan"), F("inf")


def constant(name: str, value: object) -> Change:
    """Another value of a constant, in its shape."""

    def change(network: SmallNetwork) -> None:
        before = np.asarray(network.constants[name])
        network.constants[name] = np.broadcast_to(F(value), before.shape).copy()

    return change


def between(op: str, **attributes: object) -> Change:
    """An operator between the ReLU and its quantizer."""

    def change(network: SmallNetwork) -> None:
        before = list(network.nodes.items())
        node = helper.make_node(op, ["positive"], ["odd"], "odd", **attributes)
        place = [name for name, _ in before].index("act")
        network.nodes = dict([*before[:place], ("odd", node), *before[place:]])
        network.nodes["act"].input[0] = "odd"

    return change


def attribute(node: str, name: str, value: object) -> Change:
    return lambda network: network.attribute(node, name, value)


def ends(*outputs: str) -> Change:
    def change(network: SmallNetwork) -> None:
        network.outputs = outputs
        network.output_shape = (1, 3) if outputs == ("out",) else (1, 2, 4, 4)

    return change


def two_inputs(network: SmallNetwork) -> None:
    network.inputs = ("x", "y")


def other_shape(network: SmallNetwork) -> None:
    """The long branch loses a channel."""
    network.constants["weights"] = network.constants["weights"][:1]
    for name in ("bias", "gamma", "beta", "average", "var"):
        network.constants[name] = network.constants[name][:1]


def padded_with_a_quarter(network: SmallNetwork) -> None:
    network.constants |= {"border": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "quarter": F(0.25)}
    before = list(network.nodes.items())
    pad = helper.make_node("Pad", ["input", "border", "quarter"], ["wide"], "pad")
    network.nodes = dict([*before[:2], ("pad", pad), *before[2:]])
    network.nodes["conv"].input[0] = "wide"
    network.attribute("conv", "pads", [0, 0, 0, 0])


def shifted_and_padded(network: SmallNetwork) -> None:
    """Codes that mean 1/4 and more, around them zeros that no code means."""
    network.constants["quarter"] = F(0.25)
    before = list(network.nodes.items())
    shift = helper.make_node("Add", ["input", "quarter"], ["moved"], "shift")
    network.nodes = dict([*before[:2], ("shift", shift), *before[2:]])
    network.nodes["conv"].input[0] = "moved"


def wide_accumulator(network: SmallNetwork) -> None:
    """Weights of 32 bits."""
    network.constants |= {"wide": F(32), "w.scale": F(1)}
    network.constants["weights"] = np.full((2, 2, 3, 3), F(2.0**29))
    network.nodes["w"].input[3] = "wide"


REFUSED: dict[str, tuple[Change, str, str]] = {
    # name: change, words of the first line, words of the advice
    "an operator without hardware": (between("Elu"), "layer `odd`", "QuantReLU"),
    "branches with different shapes": (
        other_shape,
        "layer `join` cannot become hardware: its two inputs have different shapes (",
        "convolution of kernel 1",
    ),
    "padding with another value": (padded_with_a_quarter, "layer `pad`", "pad with zeros"),
    **{
        f"{which} scale {value}": (
            constant(name, value),
            f"layer `{layer}` cannot become hardware: its quantizer has the scale {F(value)}",
            "calibrate or retrain",
        )
        for which, name, layer in (
            ("weight", "w.scale", "w"),
            ("activation", "grid", "act"),
            ("input", "byte", "input"),
        )
        for value in ((0, -1, NAN, INFINITE) if which == "input" else (0, NAN, INFINITE))
        # A negative scale turns the codes of the input.
        if (which, value) != ("input", -1)
    },
    "weights that are no numbers": (constant("weights", NAN), "layer `w`", "train"),
    "a bias that is no number": (constant("bias", NAN), "layer `conv`", "train"),
    "an infinite bias": (constant("bias", INFINITE), "layer `conv`", "train"),
    "a variance that is no number": (constant("var", NAN), "layer `norm`", "train"),
    "a negative variance": (constant("var", -1), "layer `norm`", "train"),
    "an infinite gamma": (constant("gamma", INFINITE), "layer `norm`", "train"),
    "a width that is no number": (constant("two", NAN), "layer `last`", "1 to 16 bits"),
    "a width of no bits": (constant("two", 0), "layer `last`", "1 to 16 bits"),
    "a stride of zero": (attribute("conv", "strides", [0, 1]), "layer `conv`", "positive kernels"),
    "a dilation of zero": (
        attribute("conv", "dilations", [1, 0]),
        "layer `conv`",
        "positive kernels",
    ),
    "a crop": (attribute("conv", "pads", [1, -1, 1, 1]), "layer `conv`", "no negative padding"),
    "no groups": (attribute("conv", "group", 0), "layer `conv`", "positive"),
    "groups of different sizes": (attribute("conv", "group", 3), "layer `conv`", "of one size"),
    "an accumulator beyond 32 bits": (
        wide_accumulator,
        "layer `conv` cannot become hardware: its accumulator needs 42 bits",
        "fewer bits",
    ),
    "two outputs": (
        ends("out", "sum"),
        "the outputs of the file are of different sizes",
        "--output sum",
    ),
    "no output": (ends(), "has 1 inputs and 0 outputs", "exactly one"),
    "two inputs": (two_inputs, "has 2 inputs and 1 outputs", "exactly one"),
    "an output that is the input": (ends("x"), "is its input `x`", "with a layer"),
    "an output that nothing makes": (ends("nowhere"), "cannot be read", "export the network again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_become_hardware_exits_with_two_and_says_where_and_what_to_do(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message, advice = REFUSED[name]
    network = SmallNetwork()
    change(network)
    path = network.save(tmp_path / "network.onnx")
    assert run(qdeploy, ["export", str(path), "--out", str(tmp_path / "build")]) == 2
    shown = capsys.readouterr().err
    error = shown[shown.index("error: ") :]  # numpy may have warned of a division before
    first, rest = error.split("\n", 1)
    assert message in first
    assert advice in " ".join(rest.split())
    assert "do this" in rest
    assert "Traceback" not in error
    assert not list(tmp_path.glob("build/*"))
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    assert caught.value.where


def export(path: Path, *options: str) -> int:
    return run(qdeploy, ["export", str(path), "--out", str(path.parent / "build"), *options])


def test_a_stream_wider_than_a_dma_is_refused_before_it_is_sized_and_synthesized(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = QonnxMaker(1, (520,), bits=2).dense(4).save(tmp_path / "wide.onnx")
    folding = tmp_path / "folding.yaml"
    folding.write_text("fc1_dense_mvau: {SIMD: 520}\n", encoding="utf-8")
    assert export(path, "--folding", str(folding), "--skip", "rtl") == 2
    shown = capsys.readouterr()
    assert "has no folding whose beats have at most 128 bytes" in shown.err
    assert "ask for less SIMD of the first layer" in shown.err and "folding.yaml" in shown.err
    assert "FIFO" not in shown.out and "Yosys" not in shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--require", "nope"), "there is no rung `nope`"),
        (("--skip", "nope"), "there is no rung `nope`"),
        (("--skip", "rtl", "--require", "rtl"), "`rtl` is both required and skipped"),
        *((("--clock", clock), "no board can have a clock of") for clock in ("nan", "-5", "0")),
        *((("--clock", clock), "no board can have a clock of") for clock in ("inf", "1e5", "1e-9")),
        *((("--fps", fps), "cannot be reached") for fps in ("nan", "-3", "0", "inf", "2e8")),
        (("--place-and-route", "xc7"), "there is no open place and route for `xc7`"),
        (("--max-lut", "90%"), "a design cannot have 47,880 LUTs of the `pynq-z2`"),
        (("--max-bram", "400"), "a design cannot have 400 BRAM36s"),
        (("--max-dsp", "half"), "neither a number, such as 8000, nor a share, such as 20%"),
        (("--clock", "50", "--fps", "6e7"), "6e+07 frames per second cannot be reached"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_is_done(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export(SmallNetwork().save(tmp_path / "network.onnx"), *options) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert [item.name for item in tmp_path.iterdir()] == ["network.onnx"]


@pytest.mark.parametrize("out", ["file", "file/build", "file/deep/build"])
def test_a_file_in_the_place_of_the_build_or_of_a_folder_above_it_is_named(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SmallNetwork().save(tmp_path / "network.onnx")
    (tmp_path / "file").write_text("years of work")
    assert run(qdeploy, ["export", str(path), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert f"`{tmp_path / 'file'}" in error and "do this" in error
    assert "Traceback" not in error
    assert (tmp_path / "file").read_text() == "years of work"


@pytest.mark.parametrize("cache", ["file", "file/cache"])
def test_a_file_in_the_place_of_the_cache_is_named(
    cache: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SmallNetwork().save(tmp_path / "network.onnx")
    (tmp_path / "file").touch()
    assert export(path, "--cache", str(tmp_path / cache)) == 2
    shown = capsys.readouterr()
    assert f"`{tmp_path / 'file'}` is a file" in shown.err and "--cache" in shown.err
    assert shown.out == ""


def test_the_network_of_these_refusals_is_accepted_unchanged(tmp_path: Path) -> None:
    graph = lower(SmallNetwork().save(tmp_path / "network.onnx"))
    assert [type(node).__name__ for node in graph.nodes] == [
        *("Conv", "Threshold", "Threshold", "Add", "Threshold", "GlobalSum", "Dense")
    ]
