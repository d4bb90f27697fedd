"""An IP package whose weights are loaded at run time, in both simulators and for Vivado."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ip_packages import make, simulate
from runtime_weights import Swap, loadable_mlp, swap

from qdeploy.design.loading import checksum
from qdeploy.ir.reference import run_reference
from qdeploy.targets.ip.golden import OUTPUT_FILE, write_beats
from qdeploy.targets.ip.package import make_package

STUB = Path(__file__).resolve().parent / "ipx_stub.tcl"
SIMULATORS = ("icarus", "verilator")


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Swap:
    return swap(loadable_mlp, 2e5, tmp_path_factory.mktemp("loaded-ip"), frames=4)


@pytest.fixture
def package(swapped: Swap, tmp_path: Path) -> Path:
    shutil.copytree(swapped.folder, tmp_path / "rtl")
    outputs = run_reference(swapped.first, swapped.frames)[swapped.first.output]
    return make_package(tmp_path, swapped.design, swapped.frames, outputs)


def other(swapped: Swap, package: Path) -> str:
    """Files of the second network; make's argument that loads its weights."""
    folder = package / "second"
    folder.mkdir()
    shutil.copyfile(package / "tb/golden_input.hex", folder / "golden_input.hex")
    outputs = run_reference(swapped.second, swapped.frames)[swapped.second.output]
    write_beats(folder / OUTPUT_FILE, swapped.design.output, outputs.reshape(len(outputs), -1))
    image = swapped.images[1]
    lines = "".join(f"{byte:02x}\n" for byte in image)
    (folder / "weights.hex").write_text(lines, encoding="ascii")
    return f"ARGS=+weights=../second/weights.hex +crc={checksum(image)}"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_frames_are_right_with_own_weights_loaded_ones_and_anothers(
    swapped: Swap, package: Path, simulator: str
) -> None:
    own = checksum(swapped.images[0])
    assert simulate(package, simulator).returncode == 0
    loaded = simulate(package, simulator, "+weights=../tb/weights.hex", stall=40, seed=3)
    assert loaded.returncode == 0, loaded.stdout
    assert f"loaded {len(swapped.images[0])} bytes, checksum {own}" in loaded.stdout
    arguments = other(swapped, package)
    second = make(package, "sim", f"SIM={simulator}", "GOLDEN=../second/", arguments)
    assert second.returncode == 0, second.stdout
    assert "PASS" in second.stdout
    # The second network's results do not come from the first one's weights.
    wrong = make(package, "sim", f"SIM={simulator}", "GOLDEN=../second/")
    assert wrong.returncode != 0
    assert "FAIL frame" in wrong.stdout


def test_an_image_that_is_not_the_expected_one_fails(package: Path) -> None:
    path = package / "tb/weights.hex"
    lines = path.read_text(encoding="ascii").split()
    lines[0] = f"{int(lines[0], 16) ^ 1:02x}"
    path.write_text("\n".join([*lines, ""]), encoding="ascii")
    done = simulate(package, "icarus", "+weights=../tb/weights.hex")
    assert done.returncode != 0
    assert "FAIL after loading weights: " in done.stdout


def test_the_package_says_what_is_loaded(swapped: Swap, package: Path) -> None:
    bundle = json.loads((package / "bundle.json").read_text(encoding="utf-8"))
    image = swapped.images[0]
    assert bundle["weights"] == {"bytes": len(image), "crc32": checksum(image)}
    readme = (package / "README.md").read_text(encoding="utf-8")
    assert f"{len(image)} bytes, one per beat" in readme
    assert "tb/weights.hex" in bundle["files"]


def test_vivado_gets_the_configuration_stream_on_the_clock(package: Path) -> None:
    tclsh = shutil.which("tclsh")
    assert tclsh, "this test needs tclsh: apt-get install tcl"
    done = subprocess.run(
        [tclsh, str(STUB), str(package)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = "set parameter:aclk,ASSOCIATED_BUSIF value s_axis:m_axis:s_axis_config"
    assert expected in done.stdout.splitlines()


def test_fusesoc_finds_the_image(package: Path) -> None:
    fusesoc = Path(sys.executable).parent / "fusesoc"
    vlnv = json.loads((package / "bundle.json").read_text(encoding="utf-8"))["vlnv"]
    command = [str(fusesoc), "--cores-root=.", "run", "--target=sim_icarus", vlnv]
    done = subprocess.run(
        command, cwd=package, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(package.glob("build/**/weights.hex"))


def test_a_package_without_loading_has_nothing_of_it(
    package: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from ip_packages import IpBuild

    plain = IpBuild(tmp_path_factory.mktemp("plain")).package(package / "plain")
    texts = [path.read_text("utf-8") for path in plain.rglob("*") if path.suffix in (".v", ".md")]
    assert not [text for text in texts if "s_axis_config" in text]
    assert not (plain / "tb/weights.hex").exists()
    assert make(plain, "sim", "SIM=icarus").returncode == 0
