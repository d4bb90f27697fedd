"""A self-test that fails names the layer, and runs on bare cores under QEMU."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build_folder import GRAPH_FILE
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import GlobalSum

# Of the compilation and of QEMU, which a core that went astray would keep for ever.
_SECONDS = 120.0


def exported(folder: Path, mcu: str, optimize: str) -> Path:
    path = SmallNetwork().save(folder / "small.onnx")
    options = Options(
        path,
        target="c",
        frames=24,
        input="uint8:1/256",
        mcu=mcu,
        optimize=optimize,
        skip=("qonnx", "int", "c-arm", "c-riscv"),
    )
    result = build(options, folder / "build")
    assert result.failure is None
    return result.folder


def make(package: Path, rule: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--always-make", rule]
    return subprocess.run(
        command, cwd=package, capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def changed(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.sub(pattern, replacement, text, count=1)
    assert found != text
    path.write_text(found, encoding="utf-8")


@pytest.mark.parametrize("optimize", ["balanced", "ram"])
@pytest.mark.parametrize("mcu", ["cortex-m0plus", "rv32imc"])
def test_the_example_for_a_bare_core_runs_under_qemu_and_names_a_broken_layer(
    mcu: str, optimize: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path, mcu, optimize)
    package = folder / "package"
    done = make(package, "qemu")
    assert done.returncode == 0, done.stderr
    assert "16 golden frames, no difference" in done.stdout + done.stderr
    # As a compiler might: every other pixel.
    changed(package / "kernels/global_sum.h", r"pixel\+\+", "pixel += 2")
    (layer,) = (n.layer for n in read_graph(folder / GRAPH_FILE).nodes if isinstance(n, GlobalSum))
    done = make(package, "qemu")
    assert done.returncode != 0
    assert f"first in layer: {layer} (" in done.stdout + done.stderr
    done = make(package, "test")
    assert done.returncode != 0
    assert f"first in layer: {layer} (" in done.stdout


@pytest.mark.parametrize("optimize", ["balanced", "speed", "flash", "ram"])
def test_a_changed_constant_is_found_in_its_layer(optimize: str, tmp_path: Path) -> None:
    """The weights of one layer after the other: the layer is the one whose constants they are."""
    folder = exported(tmp_path, "host", optimize)
    package = folder / "package"
    assert make(package, "test").returncode == 0
    titles = re.findall(r"/\* (\d+): (\S+) \*/", (package / "network.c").read_text())
    original = (package / "weights.c").read_text(encoding="utf-8")
    blamed = []
    for number, layer in titles:
        array = rf"((?:const|static)[^;]*?_weights_{number}\[\d+\] = {{\s*)(\d+)"
        found = re.search(array, original)
        if found is None:
            continue
        other = str((int(found[2]) + 1) % 2 or 85)
        changed(package / "weights.c", array, rf"\g<1>{other}")
        done = make(package, "test")
        assert done.returncode != 0
        blamed.append((layer, done.stdout.rpartition("first in layer: ")[2].split("\n")[0]))
        (package / "weights.c").write_text(original, encoding="utf-8")
    assert len(blamed) > 1 or optimize == "speed"
    assert all(found.startswith(f"{layer} (") for layer, found in blamed), blamed
