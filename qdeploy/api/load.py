"""`qdeploy.load`: a build's network on a device, with one `run`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from qdeploy.api.builds import AnyBuild, folder_of
from qdeploy.build.devices import IntDevice, RtlDevice
from qdeploy.build.module_source import given_frames
from qdeploy.build.options import read_options
from qdeploy.build.scores import finds_classes
from qdeploy.build_folder import GRAPH_FILE, PACKAGE_FOLDER
from qdeploy.errors import ToolMissingError, UserError
from qdeploy.ir.file import read_graph
from qdeploy.verify.frames_of_files import frames_of_files

DeviceName = Literal["int", "rtl", "pynq"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]


class Network(Protocol):
    """A network that runs."""

    def run(self, x: Any) -> Numbers:
        """What the network says of frames (N, ...).

        Args:
            x: real numbers as the network takes them, or raw integers where its file says what
                these mean.

        Returns:
            Logits (N, classes), float64; the class of each frame (N,), int64, where the hardware
            chooses it (`argmax`). Maps have their channels second: (N, classes, H, W).

        Raises:
            DataError: they are no frames of the network.
        """


class _Simulated:
    """A network on this computer."""

    def __init__(self, folder: Path, device: DeviceName) -> None:
        options = read_options(folder)
        self._graph = read_graph(folder / GRAPH_FILE)
        self._device = (
            IntDevice(folder, self._graph) if device == "int" else RtlDevice(folder, options)
        )

    def run(self, x: Any) -> Numbers:
        frames = frames_of_files(self._graph, given_frames(x), None, "x")
        output = self._device.run(frames.codes).output
        if finds_classes(self._graph):
            return output[:, 0].astype(np.int64)
        return self._graph.head.values(output)


class _OnBoard:
    """A network in the FPGA of the PYNQ board that this process runs on."""

    def __init__(self, folder: Path) -> None:
        package = folder / PACKAGE_FOLDER
        if not (package / "driver").is_dir():
            raise UserError(
                f"the build `{folder}` has no package for a PYNQ board",
                where=str(package),
                do='build it with target="pynq"',
            )
        try:
            importlib.import_module("pynq")
        except ImportError as error:
            raise ToolMissingError(
                "the package `pynq` cannot be imported",
                why=f"{error}; it is part of a PYNQ board's image",
                do=f"copy `{package}` to the board, as its README.md says, and run there; on this "
                'computer choose device="int" or device="rtl"',
            ) from error
        sys.path.insert(0, str(package))
        try:
            self._accelerator: Any = importlib.import_module("driver").Accelerator()
        finally:
            sys.path.remove(str(package))

    def run(self, x: Any) -> Numbers:
        values = given_frames(x).values
        found: Numbers = self._accelerator.infer(values, from_float=values.dtype.kind == "f")
        # Streams have the channels last.
        return np.moveaxis(found, -1, 1) if found.ndim == 4 else found


def load(build: AnyBuild, device: DeviceName = "int") -> Network:
    """A build's network, ready to run.

    Args:
        build: what `export` returned, or a build folder.
        device: `int`, integers in onnxruntime; `rtl`, the design in Verilator; `pynq`, the FPGA of
            the board that this runs on. All give the same numbers.

    Raises:
        UserError: the folder holds no build, none for this device, or there is no such device.
        ToolMissingError: Verilator is not installed for `rtl`, or `pynq` for `pynq`.

    Example:
        >>> import torch, qdeploy
        >>> net = qdeploy.quantize(torch.nn.Linear(16, 3), 4, torch.rand(8, 16))
        >>> build = qdeploy.export(
        ...     net, out="build/net", synthesis=False, fifo_depths="analytic", frames=16
        ... )
        >>> x = torch.rand(4, 16)
        >>> logits = qdeploy.load(build).run(x)
        >>> bool((logits == qdeploy.load(build, device="rtl").run(x)).all())
        True
    """
    if device not in DEVICES:
        raise UserError(f"there is no device `{device}`", do=f"choose one of {', '.join(DEVICES)}")
    folder = folder_of(build)
    return _OnBoard(folder) if device == "pynq" else _Simulated(folder, device)
