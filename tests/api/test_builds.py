"""A module's way from `export` to each device, and what is refused on it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import qdeploy
from qdeploy.api.export import ExportOptions
from qdeploy.build.build import Build
from qdeploy.build.options import Options
from qdeploy.build_folder import read_build
from qdeploy.errors import DataError, ToolMissingError, UserError

QUICK: dict[str, Any] = {
    "synthesis": False,
    "fifo_depths": "analytic",
    "rtl_frames": 4,
    "skip": ("memories", "layer"),
}
NOTHING = ("qonnx", "dataflow", "memories", "layer", "rtl", "netlist")


class Digits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 2 * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.fc(torch.flatten(x, 1))


class Made(NamedTuple):
    build: Build
    network: nn.Module
    x: torch.Tensor
    y: torch.Tensor


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.manual_seed(1)
    x = torch.rand(40, 2, 6, 6)
    network = qdeploy.quantize(Digits(), (3, 2), x, input_range=(0.0, 1.0))
    network.train()(x)
    y = network.eval()(x).argmax(1)
    folder = tmp_path_factory.mktemp("api") / "digits"
    build = qdeploy.export(network, x=x, y=y, out=folder, **QUICK)
    return Made(build, network, x, y)


def test_every_level_gives_what_the_module_gives(made: Made) -> None:
    rungs = {rung.name: rung for rung in made.build.rungs if rung.skipped is None}
    assert {"torch", "qonnx", "int", "dataflow", "rtl"} <= set(rungs)
    assert all(rung.passed for rung in rungs.values())
    with torch.no_grad():
        expected = made.network(made.x).numpy()
    found = qdeploy.load(made.build).run(made.x)
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() < 1e-5
    rtl = qdeploy.load(made.build.folder, device="rtl").run(made.x[:3])
    assert np.array_equal(rtl, found[:3])


def test_the_labels_give_an_accuracy_in_the_build_and_in_a_simulation(made: Made) -> None:
    record = read_build(made.build.folder)
    assert record is not None and record["name"] == "digits"
    assert record["accuracy_int"] == 1.0
    simulated = qdeploy.simulate(str(made.build.folder), made.x[:20], (made.y[:20] + 1) % 3)
    assert simulated.metrics == {"accuracy": 0.0}
    assert np.array_equal(simulated.classes, made.y[:20].numpy())
    rtl = qdeploy.simulate(made.build, made.x[:2], level="rtl")
    assert np.array_equal(rtl.output, simulated.output[:2]) and rtl.cycles_per_frame


def test_the_ladder_runs_again_without_the_module_and_the_build_may_be_made_again(
    made: Made, tmp_path: Path
) -> None:
    again = qdeploy.verify(made.build, skip=("rtl", "memories", "layer"))
    assert {rung.name for rung in again.rungs if rung.passed} >= {"qonnx", "int", "dataflow"}
    one = qdeploy.export(made.network, out=tmp_path / "one", **{**QUICK, "skip": NOTHING})
    two = qdeploy.export(made.network, out=tmp_path / "one", **{**QUICK, "skip": NOTHING})
    assert one.folder == two.folder
    with pytest.raises(UserError, match="holds a build of"):
        qdeploy.export(one.folder / "model.qonnx.onnx", out=made.build.folder, **QUICK)


def test_a_file_takes_the_same_way(made: Made, tmp_path: Path) -> None:
    file = made.build.folder / "model.qonnx.onnx"
    build = qdeploy.export(file, out=tmp_path / "file", argmax=True, **{**QUICK, "skip": NOTHING})
    classes = qdeploy.load(build).run(made.x)
    assert classes.dtype == np.int64
    assert np.array_equal(classes, made.y.numpy())


def test_further_options_are_those_of_the_command() -> None:
    names = {one.name for one in dataclasses.fields(Options)}
    assert set(ExportOptions.__annotations__) == names - {"source", "target", "board"}


def test_a_float_module_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserError) as caught:
        qdeploy.export(Digits())
    assert caught.value.what == "`Digits` is a float module"
    assert "qdeploy.quantize(module, bits, example)" in str(caught.value.do)


def test_what_is_no_source_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are for modules"):
        qdeploy.export(tmp_path / "run", x=made.x)
    with pytest.raises(UserError, match="neither a run folder nor a QONNX file"):
        qdeploy.export(tmp_path / "run")
    with pytest.raises(UserError, match="no frames that they are of"):
        qdeploy.export(made.network, y=made.y)
    with pytest.raises(UserError, match="labels are"):
        qdeploy.export(made.network, x=made.x, y=made.y[:3])
    own = nn.Sequential(made.network.conv)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="does not say the shape of its input"):
        qdeploy.export(own)


def test_levels_devices_and_frames_that_are_not_there_are_named(made: Made) -> None:
    with pytest.raises(UserError, match="there is no level `gpu`") as caught:
        qdeploy.simulate(made.build, made.x, level="gpu")  # type: ignore[arg-type]
    assert "int, rtl, c" in str(caught.value.do)
    with pytest.raises(UserError, match="there is no device `gpu`"):
        qdeploy.load(made.build, device="gpu")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is no build"):
        qdeploy.load(made.network)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no complete build"):
        qdeploy.load(made.build.folder.parent)
    network = qdeploy.load(made.build)
    with pytest.raises(DataError, match="not frames of this network"):
        network.run(made.x[:, :1])
    with pytest.raises(UserError, match="not finite"):
        network.run(made.x * torch.nan)
    with pytest.raises(UserError, match="are no frames"):
        network.run(["a"])


def test_a_board_is_needed_for_the_device_pynq(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(ToolMissingError) as caught:
        qdeploy.load(made.build, device="pynq")
    assert 'device="rtl"' in str(caught.value.do)
