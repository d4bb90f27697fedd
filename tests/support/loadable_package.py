"""A package that takes weights, with files of two networks for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import bare_metal
import fake_board
import numpy as np
from runtime_weights import Swap, loadable_sums, swap

from qdeploy.design.weights_file import weights_file
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.targets.pynq.package import make_package


@dataclass(frozen=True)
class LoadablePackage:
    """The package, its Verilated board, its driver in C for this machine, and two networks.

    Args:
        outputs: of each network on the golden frames, (frames, elements).
        files: of weights, as `qdeploy weights --bin` writes them.
    """

    package: Path
    model: Path
    library: Path
    swapped: Swap
    outputs: tuple[np.ndarray, np.ndarray]
    files: tuple[bytes, bytes]


def make_loadable(work: Path) -> LoadablePackage:
    """Make it in a folder."""
    swapped = swap(loadable_sums, 400_000.0, work, frames=4)
    shutil.copytree(swapped.folder, work / "rtl")
    first, second = (
        run_reference(graph, swapped.frames)[graph.output].reshape(len(swapped.frames), -1)
        for graph in (swapped.first, swapped.second)
    )
    assert (first != second).any() and min(first.min(), second.min()) < 0
    # The design takes the upper four bits of a byte.
    raw = swapped.frames << 4
    package = make_package(work, swapped.design, load_board("pynq-z2"), raw, first)
    identity = json.loads((package / "bundle.json").read_text())["design_id"]
    model = fake_board.build_model(package, work / "model")
    return LoadablePackage(
        package,
        model,
        bare_metal.build_driver(package / "bare_metal", model, work / "driver.so"),
        swapped,
        (first, second),
        (
            weights_file(identity, swapped.images[0], first),
            weights_file(identity, swapped.images[1], second),
        ),
    )
