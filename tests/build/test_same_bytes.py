"""Two builds of one network give the same bytes: RTL, memories, netlist, package."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from random_qonnx import QonnxMaker, Weights

# What says when and how long something ran, or which folder it ran in.
OF_ITS_RUN = ("build.json", "verify.json", "report.html", "yosys.log")
# Rungs that take long and write nothing that is compared.
LEFT_OUT = ("layer", "netlist layer", "netlist")
ROOT = Path(__file__).resolve().parents[2]
SKIP = tuple(word for rung in LEFT_OUT for word in ("--skip", rung))


def export(source: Path, out: Path, hash_seed: int, *options: str) -> None:
    command = [sys.executable, "-m", "qdeploy", "export", str(source), "--out", str(out)]
    done = subprocess.run(
        [*command, *SKIP, "--frames", "8", "--rtl-frames", "2", *options],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        cwd=out.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def digests(folder: Path) -> dict[str, str]:
    """Path -> SHA-256, of all that should not depend on the run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in OF_ITS_RUN:
            data = path.read_bytes()
            if path.name == "bundle.json":  # says what made it, in which revision, and its digest
                bundle = json.loads(data)
                assert bundle.pop("digest") and bundle.pop("provenance")
                data = json.dumps(bundle).encode()
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def branching(path: Path) -> Path:
    """Convolutions, a fork, a join and a head with a bias."""
    maker = QonnxMaker(7, (3, 8, 8))
    fork = maker.conv(4, weights=Weights(2)).norm().relu().act(2, scale=0.5).mark()
    maker.conv(4, weights=Weights(2)).norm().relu().act(2, scale=0.5).join(fork).act(3)
    maker.pool_all().act(4).dense(5, Weights(2), gemm=True)
    return maker.save(path)


def flat(path: Path) -> Path:
    """Fully connected layers only."""
    maker = QonnxMaker(8, (12,))
    maker.dense(16, Weights(2)).norm().relu().act(2).dense(4, Weights(3))
    return maker.save(path)


def separable(path: Path) -> Path:
    """Depthwise and pointwise convolutions of more bits, whose codes are searched or multiplied."""
    maker = QonnxMaker(9, (2, 9, 9))
    maker.conv(6, weights=Weights(4)).norm().relu().act(5)
    maker.conv(6, groups=6, weights=Weights(4)).norm().relu().act(5).max_pool()
    maker.conv(8, (1, 1), pads=(0, 0, 0, 0), weights=Weights(4)).norm().relu().act(4)
    maker.pool_all().act(6).dense(3, Weights(8))
    return maker.save(path)


EVERY = """
import sys
from qdeploy.cli.main import qdeploy, run
for name in sys.argv[1].split(","):
    code = run(qdeploy, ["export", f"{name}.onnx", "--out", name, *sys.argv[2:]])
    if code:
        sys.exit(code)
"""
NETWORKS = {make.__name__: make for make in (branching, flat, separable)}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with an export of every network, each by a process of its own."""
    found = [tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("another place")]
    for seed, folder in enumerate(found):
        for name, network in NETWORKS.items():
            network(folder / f"{name}.onnx")
        words = [",".join(NETWORKS), *SKIP, "--frames", "8", "--rtl-frames", "2", "--no-synthesis"]
        done = subprocess.run(
            [sys.executable, "-c", EVERY, *words],
            env={**os.environ, "PYTHONHASHSEED": str(seed + 1), "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_two_exports_from_two_folders_give_the_same_bytes(network: str, places: list[Path]) -> None:
    first, second = (digests(folder / network) for folder in places)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert any(name.startswith("rtl/") and name.endswith(".hex") for name in first)
    assert "package/rtl/qd_shell.v" in first  # with the design's id


@pytest.mark.slow
def test_an_export_after_a_killed_one_gives_the_same_bytes(tmp_path: Path) -> None:
    source = branching(tmp_path / "net.onnx")
    export(source, tmp_path / "undisturbed", 1, "--no-synthesis")
    wanted, out = digests(tmp_path / "undisturbed"), tmp_path / "out"
    for seconds in (3.0, 8.0):
        command = [sys.executable, "-m", "qdeploy", "export", str(source), "--out", str(out)]
        killed = subprocess.Popen(
            [*command, "--no-synthesis", *SKIP, "--frames", "8", "--rtl-frames", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        time.sleep(seconds)
        killed.kill()
        killed.wait()
        export(source, out, 2, "--no-synthesis")
        assert digests(out) == wanted


@pytest.mark.slow
def test_two_syntheses_give_the_same_netlist(tmp_path: Path) -> None:
    netlists = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        # Of the rungs none writes what is compared.
        skip = [word for rung in ("memories", "dataflow", "rtl") for word in ("--skip", rung)]
        words = ["--fps", "100000", "--fifo-depths", "analytic", *skip]
        export(flat(folder / "net.onnx"), folder / "out", seed, *words)
        netlists.append((folder / "out" / "synth" / "netlist.v").read_bytes())
    assert netlists[0] == netlists[1]
