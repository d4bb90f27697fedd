"""The files of a package, as its driver reads them, for the tests with damaged files."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import toy_core
from damage import Kind
from damaged_builds import packed_again
from fake_board import bit_file

from qdeploy.devices.boards import load_board
from qdeploy.errors import UserError
from qdeploy.self_digest import with_digest
from qdeploy.targets.pynq.package import make_package


def package(name: str, folder: Path) -> Path:
    """A package of the toy core, with a stand-in for its bitstream."""
    build = folder / "build"
    design = toy_core.write_core(build / "rtl")
    raw = toy_core.frames(3)
    root = make_package(build, design, load_board("pynq-z2"), raw, toy_core.expected(raw))
    (root / "bitstream").mkdir()
    bit_file(root / "bitstream/accelerator.bit")
    with np.load(root / "golden" / "golden.npz") as data:
        for array in data.files:
            np.save(root / "golden" / f"{array}.npy", data[array])
    bundle = json.loads((root / "bundle.json").read_bytes())
    (folder / "design_id").write_text(bundle["design_id"])
    return root / name


def sealed_bundle(path: Path) -> None:
    """Its digest made that of its content, as whoever wants to do harm would."""
    try:
        data = json.loads(path.read_bytes())
        path.write_text(json.dumps(with_digest(data)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # it is refused before its digest is looked at


def packed_golden(path: Path) -> None:
    """The golden frames with this array in place of their own."""
    packed_again(path, "golden.npz")


def use_package(path: Path) -> None:
    """Everything that the driver does with its files, on a board that puts out zeros."""
    root = next(one for one in path.parents if one.name == "package")
    design = int((root.parents[1] / "design_id").read_text(), 16)
    driver, bundles = driver_of(root, design)
    try:
        bundles.damaged(root, bundles.load(root))
        with driver.Accelerator(timeout_s=1.0) as accelerator:
            accelerator.selftest()
            shape = (2, *accelerator.layout.data_shape)
            low, high = accelerator.layout.raw_range
            accelerator.names(accelerator.classify(np.full(shape, low)))
            accelerator.infer(np.full(shape, high))
            if accelerator.bundle["input"]["scale"] is not None:
                accelerator.infer(np.full(shape, 0.5), from_float=True)
    except (driver.AcceleratorError, bundles.BundleError) as error:
        raise UserError(str(error)) from error


def driver_of(root: Path, design: int) -> tuple[ModuleType, ModuleType]:
    """The driver of a package and its reader of bundles, for a board without hardware."""
    for name in [name for name in sys.modules if name.split(".")[0] == "driver"]:
        del sys.modules[name]
    sys.modules["pynq"] = _pynq(design)
    sys.path.insert(0, str(root))
    try:
        importlib.import_module("driver.device_lock").FOLDERS = (root.parent,)
        return importlib.import_module("driver"), importlib.import_module("driver.bundle")
    finally:
        sys.path.remove(str(root))


def _pynq(design: int) -> ModuleType:
    """What the driver takes from `pynq`: transfers end at once and carry nothing."""
    blocks = {
        name: {"phys_addr": base, "addr_range": 0x1000, "parameters": {}}
        for base, name in enumerate(("axi_dma_0", "qd_shell_0"))
    }
    values = ({}, {0x00: 0x51444550, 0x04: 1, 0x08: design})
    made = ModuleType("pynq")
    made.__dict__.update(
        Overlay=lambda *_, **__: SimpleNamespace(ip_dict=blocks),
        MMIO=lambda base, _: _Registers(values[base], is_dma=base == 0),
        Clocks=SimpleNamespace(fclk0_mhz=0.0),
        allocate=_allocate,
    )
    return made


class _Registers:
    """A DMA that is done as soon as it is asked, or a shell."""

    def __init__(self, values: dict[int, int], is_dma: bool) -> None:
        self._values, self._is_dma = values, is_dma

    def read(self, offset: int) -> int:
        if self._is_dma and offset in (0x04, 0x34):
            return 2
        if self._is_dma and offset in (0x00, 0x30):
            return 0
        return self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if self._is_dma:
            self._values[offset] = value


class _Buffer(np.ndarray):
    """What `pynq.allocate` returns."""

    physical_address = 0x10000000

    def freebuffer(self) -> None:
        """Nothing to give back here."""

    flush = invalidate = freebuffer


def _allocate(shape: tuple[int, ...], dtype: Any, cacheable: int = 0) -> np.ndarray:
    return np.zeros(shape, dtype).view(_Buffer)


# File, damaged ones in every run, what follows the file.
FILES = (
    ("bundle.json", 40, None),
    ("golden/golden.npz", 40, None),
    ("golden/inputs.npy", 40, packed_golden),
    ("golden/outputs.npy", 40, packed_golden),
)
KINDS = (
    *(
        Kind(f"package {name}", functools.partial(package, name), use_package, count, seal)
        for name, count, seal in FILES
    ),
    Kind(
        "sealed bundle", functools.partial(package, "bundle.json"), use_package, 100, sealed_bundle
    ),
)
