"""A small network as IP, and its testbench in both simulators."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from random_graphs import small_mlp

from qdeploy.dataflow.compile import compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.targets.ip.package import make_package


class IpBuild:
    """A build folder with a compiled network of three layers; packages are made anew.

    Attributes:
        module: of the IP.
    """

    module = "toy_ip"

    def __init__(self, folder: Path) -> None:
        maker = small_mlp()
        self.graph = maker.graph()
        compile_graph(self.graph, load_board("pynq-z2"), folder / "rtl", fps=1e6)
        self.design = Design.load(folder / "rtl")
        self.folder = folder
        self.codes = maker.frames(8)
        self.outputs = run_reference(self.graph, self.codes)[self.graph.output]

    def package(
        self, folder: Path, latency: int | None = None, interval: int | None = None
    ) -> Path:
        """The package, in another folder."""
        shutil.copytree(self.folder / "rtl", folder / "rtl")
        return make_package(
            folder,
            self.design,
            self.codes,
            self.outputs.astype(np.int64),
            preparation=self.graph.prepared,
            meaning=self.graph.head,
            latency_cycles=latency,
            cycles_per_frame=interval,
        )


def make(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a package."""
    return subprocess.run(
        ["make", *arguments],
        cwd=package,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def simulate(
    package: Path, simulator: str, *arguments: str, stall: int = 25, seed: int = 1
) -> subprocess.CompletedProcess[str]:
    """The package's testbench, by its Makefile."""
    needed = {"icarus": "iverilog", "verilator": "verilator"}[simulator]
    assert shutil.which(needed), f"these tests need {needed}: apt-get install {needed}"
    given = [f"SIM={simulator}", f"STALL={stall}", f"SEED={seed}", f"ARGS={' '.join(arguments)}"]
    return make(package, "sim", *given)
