"""A package of the toy core, its Verilated model, and a board that runs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import fake_board
import pytest
import toy_core
from loadable_package import LoadablePackage, make_loadable

from qdeploy.devices.boards import load_board
from qdeploy.targets.pynq.package import make_package


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy core as a package for the PYNQ-Z2, with 20 golden frames."""
    build = tmp_path_factory.mktemp("toy-pynq-z2")
    design = toy_core.write_core(build / "rtl")
    raw = toy_core.frames(20)
    return make_package(
        build,
        design,
        load_board("pynq-z2"),
        raw,
        toy_core.expected(raw),
        classes=["a", "b", "c", "d", "e"],
    )


@pytest.fixture(scope="session")
def toy_model(toy_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's RTL as a library."""
    return fake_board.build_model(toy_package, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def loadable_package(tmp_path_factory: pytest.TempPathFactory) -> LoadablePackage:
    """A small network's package that takes weights."""
    return make_loadable(tmp_path_factory.mktemp("loadable"))


@pytest.fixture
def board(toy_package: Path, toy_model: Path) -> Iterator[fake_board.FakeBoard]:
    """A board with the toy package's hardware."""
    made = fake_board.FakeBoard(toy_model, toy_package / "rtl")
    yield made
    made.close()


@pytest.fixture
def load_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., ModuleType]]:
    """Import a package's driver, with a board's `pynq` in place and a lock of its own."""

    def load(package: Path, board: fake_board.FakeBoard | None = None) -> ModuleType:
        monkeypatch.syspath_prepend(str(package))
        if board is not None:
            monkeypatch.setitem(sys.modules, "pynq", board.module())
        for name in [name for name in sys.modules if name.split(".")[0] == "driver"]:
            del sys.modules[name]
        importlib.import_module("driver.device_lock").FOLDERS = (tmp_path,)
        return importlib.import_module("driver")

    yield load
    for name in [name for name in sys.modules if name.split(".")[0] == "driver"]:
        del sys.modules[name]


@pytest.fixture
def bitstream(toy_package: Path) -> Path:
    """Stand-ins for the files that Vivado makes of the toy package; the .bit file."""
    folder = toy_package / "bitstream"
    folder.mkdir(exist_ok=True)
    fake_board.bit_file(folder / "accelerator.bit")
    return folder / "accelerator.bit"


@pytest.fixture
def driver(
    toy_package: Path,
    bitstream: Path,
    board: fake_board.FakeBoard,
    load_driver: Callable[..., ModuleType],
) -> ModuleType:
    """The toy package's driver on the board."""
    return load_driver(toy_package, board)
