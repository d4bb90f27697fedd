"""Weights of another network on the stand-in board: loaded between batches, read back, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bare_metal
import fake_board
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.weights import make_weights
from qdeploy.errors import UserError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import calibrated_random
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.self_digest import with_digest
from qdeploy.targets.ip.target import IpTarget
from qdeploy.verify.frames import load_frames
from qdeploy.verify.ladder import RUNGS

RECIPE = "models/quickstart/digits_fcdnn_w2a2.yaml"
FRAMES = 12


def network(path: Path, seed: int, *changes: str) -> Path:
    """A network of random weights as a file."""
    recipe = load_recipe(resource(RECIPE), ("network.width=8", "network.depth=2", *changes))
    shape = (1, 4, 4)
    export_qonnx_file(calibrated_random(recipe, seed, shape=shape, classes=5), shape, path)
    return path


@dataclass(frozen=True)
class Made:
    """A build, the file of its own network, of another of its shape, and both their weights."""

    folder: Path
    networks: tuple[Path, Path]
    weights: tuple[Path, Path]
    model: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    work = tmp_path_factory.mktemp("weights")
    networks = network(work / "a.onnx", 0), network(work / "b.onnx", 1)
    options = Options(
        networks[0],
        frames=FRAMES,
        fps=300_000.0,
        synthesis=False,
        fifo_depths="analytic",
        skip=RUNGS,
        runtime_weights=True,
    )
    folder = build(options, work / "built").folder
    files = work / "a.weights", work / "b.weights"
    for source, file in zip(networks, files, strict=True):
        make_weights(folder, source, file, rtl_frames=4, binary=file.with_suffix(".bin"))
    package = folder / "package"
    (package / "bitstream").mkdir()
    fake_board.bit_file(package / "bitstream/accelerator.bit")
    return Made(folder, networks, files, fake_board.build_model(package, work / "model"))


@pytest.fixture
def board(made: Made) -> Iterator[fake_board.FakeBoard]:
    found = fake_board.FakeBoard(made.model, made.folder / "package/rtl")
    yield found
    found.close()


@pytest.fixture
def driver(
    made: Made, board: fake_board.FakeBoard, load_driver: Callable[..., ModuleType]
) -> ModuleType:
    return load_driver(made.folder / "package", board)


def test_networks_take_turns_on_the_board(made: Made, driver: ModuleType) -> None:
    frames = load_frames(made.folder)
    graphs = [lower(path) for path in made.networks]
    expected = [run_reference(graph, frames.codes)[graph.output] for graph in graphs]
    assert (expected[0] != expected[1]).any()
    with driver.Accelerator() as accelerator:
        for which in (None, 1, 0, 1):
            if which is not None:
                record = accelerator.load_weights(made.weights[which])
                assert record["name"] == "ab"[which]
            assert accelerator.selftest()["passed"]
            assert_array_equal(accelerator.infer_codes(frames.raw), expected[which or 0])
            scale = graphs[which or 0].head.gain[0]
            assert_array_equal(accelerator.infer(frames.raw), expected[which or 0] * float(scale))


def test_the_driver_in_c_takes_the_second_file(
    made: Made, board: fake_board.FakeBoard, tmp_path: Path
) -> None:
    folder = made.folder / "package/bare_metal"
    library = bare_metal.build_driver(folder, made.model, tmp_path / "driver.so")
    driver = bare_metal.BareMetal(library, board)
    assert driver.open() == "OK"
    for path in reversed(made.weights):
        status, weights = driver.read_weights(path.with_suffix(".bin").read_bytes())
        assert status == driver.load(weights) == driver.selftest()[0] == "OK"


def test_a_second_program_has_to_load_them_again(made: Made, driver: ModuleType) -> None:
    frames = load_frames(made.folder).raw
    with driver.Accelerator() as accelerator:
        accelerator.load_weights(made.weights[1])
        found = accelerator.infer_codes(frames)
    with driver.Accelerator(download=False) as accelerator:
        with pytest.raises(driver.AcceleratorError, match=r"not known: another program .*again"):
            accelerator.infer_codes(frames)
        accelerator.load_weights(made.weights[1])
        assert_array_equal(accelerator.infer_codes(frames), found)
    with driver.Accelerator() as accelerator:  # the bitstream again, with its own
        assert accelerator.selftest()["passed"]


def test_weights_that_arrive_otherwise_are_told(
    made: Made, board: fake_board.FakeBoard, driver: ModuleType
) -> None:
    frames = load_frames(made.folder).raw
    with driver.Accelerator() as accelerator:
        shell = accelerator._board._shell
        write, written = shell._registers.write, []

        def flipped(offset: int, value: int) -> None:
            written.append(offset)
            write(offset, value ^ (offset == 0x20 and len(written) == 9))

        shell._registers.write = flipped
        with pytest.raises(driver.AcceleratorError, match=r"checksum is .* in the FPGA"):
            accelerator.load_weights(made.weights[1])
        shell._registers.write = lambda offset, value: None if value & 256 else write(offset, value)
        driver.board.RESET_SECONDS = 0.1
        with pytest.raises(driver.AcceleratorError, match="does not take weights"):
            accelerator.load_weights(made.weights[1])
        shell._registers.write = write
        with pytest.raises(driver.AcceleratorError, match="not known"):
            accelerator.infer_codes(frames)
        accelerator.load_weights(made.weights[1])
        assert accelerator.selftest()["passed"]


def changed(path: Path, out: Path, **entries: Any) -> Path:
    """A file of weights with other entries, and other values in its record."""
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    record = json.loads(found["record"].tobytes())
    record |= entries.pop("record", {})
    found["record"] = np.frombuffer(json.dumps(with_digest(record)).encode(), dtype=np.uint8)
    with out.open("wb") as file:
        np.savez(file, **(found | entries))
    return out


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other design", "has weights for design 12345678"),
        ("one byte", "is damaged"),
        ("too short", "is damaged"),
        ("version", "has format 2"),
        ("edited", "edited or damaged"),
        ("no file", "no whole file of weights"),
        ("cut", "no whole file of weights"),
        ("results", "golden results of another"),
    ],
)
def test_other_files_are_refused_and_nothing_changes(
    made: Made, driver: ModuleType, kind: str, message: str, tmp_path: Path
) -> None:
    good, bad = made.weights[1], tmp_path / "bad.weights"
    image = np.load(good)["image"]
    if kind == "other design":
        changed(good, bad, record={"design_id": "12345678"})
    elif kind == "one byte":
        changed(good, bad, image=image ^ (np.arange(len(image)) == 3).astype(np.uint8))
    elif kind == "too short":
        changed(good, bad, image=image[:-1])
    elif kind == "version":
        changed(good, bad, record={"format": 2})
    elif kind == "edited":
        text = np.load(good)["record"].tobytes().replace(b'"b"', b'"c"')
        assert text != np.load(good)["record"].tobytes()
        with np.load(good) as archive, bad.open("wb") as file:
            rest = {name: archive[name] for name in ("image", "outputs")}
            np.savez(file, record=np.frombuffer(text, dtype=np.uint8), **rest)
    elif kind == "cut":
        bad.write_bytes(good.read_bytes()[:200])
    elif kind == "results":
        changed(good, bad, outputs=np.zeros((3, 2), dtype=np.int64))
    with driver.Accelerator() as accelerator:
        with pytest.raises(driver.WeightsError, match=message):
            accelerator.load_weights(bad)
        assert accelerator.weights is None
        assert accelerator.selftest()["passed"]


def test_a_build_whose_weights_never_change_takes_none(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(made.folder, folder)
    design = json.loads((folder / "rtl/design.json").read_text())
    (folder / "rtl/design.json").write_text(json.dumps({**design, "loading": None}))
    with pytest.raises(UserError, match="takes no weights at run time"):
        make_weights(folder, made.networks[1], tmp_path / "b.weights")


def test_a_target_without_the_stream_is_refused_before_anything_is_done(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IpTarget, "loads_weights", False)
    options = Options(made.networks[0], target="ip", runtime_weights=True)
    with pytest.raises(UserError, match="`ip` has no use for --runtime-weights"):
        build(options)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (("network.width=16",), "weights are 16 x 16, the design's 8 x 16"),
        (("network.depth=3",), "operations"),
        (("quantization.activation_bits=3",), r"thresholds are|codes are"),
        (("quantization.weight_bits=4",), "the design's memory has 2 bits"),
    ],
)
def test_a_network_of_another_shape_is_refused_by_its_layer(
    made: Made, changes: tuple[str, ...], where: str, tmp_path: Path
) -> None:
    other = network(tmp_path / "other.onnx", 0, *changes)
    with pytest.raises(UserError, match=where) as refused:
        make_weights(made.folder, other, tmp_path / "other.weights")
    assert "is not of the shape of the build's network" in refused.value.what
    assert not (tmp_path / "other.weights").exists()
