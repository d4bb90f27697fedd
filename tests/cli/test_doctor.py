"""`qdeploy doctor`: each verdict, the exit code, and that it says how to fix things."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from qdeploy.cli import doctor
from qdeploy.cli.main import qdeploy, run
from qdeploy.devices.families import FAMILIES


def test_installed_package_within_its_pin_is_ok() -> None:
    finding = doctor.check_package(Requirement("click>=8.1"))
    assert (finding.state, finding.required) == (doctor.OK, True)
    assert finding.found


def test_installed_package_outside_its_pin_names_the_version_to_install() -> None:
    finding = doctor.check_package(Requirement("click==1.0"))
    assert finding.state == doctor.WRONG
    assert finding.remedy == 'pip install "click==1.0"'
    assert doctor.lacking([finding]) == [finding]


def test_absent_package_is_missing_and_says_what_needs_it() -> None:
    finding = doctor.check_package(Requirement("qdeploy-no-such-package>=1"))
    assert (finding.state, finding.found) == (doctor.MISSING, "")
    assert finding.affected == "qdeploy itself"


def test_the_pinned_packages_are_all_examined_and_test_tools_are_not() -> None:
    names = {requirement.name for requirement in doctor.requirements()}
    assert {"finn-plus", "brevitas", "qonnx", "onnx", "onnxruntime", "torch"} <= names
    assert "pytest" not in names


def test_program_off_the_path_fails_the_doctor_and_names_its_apt_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("verilator", "g++", "make"):
        source = next(
            Path(folder) / name
            for folder in os.environ["PATH"].split(os.pathsep)
            if (Path(folder) / name).exists()
        )
        (tmp_path / name).symlink_to(source)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(qdeploy, ["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "yosys: missing" in shown
    assert "apt-get install yosys" in shown
    assert "Required and not in order:" in shown
    assert shown.rstrip().endswith("yosys.")


def test_program_that_does_not_run_is_broken_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "yosys"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    yosys = next(one for one in doctor.examine() if one.name == "yosys")
    assert yosys.state == doctor.BROKEN
    assert doctor.lacking([yosys]) == [yosys]


def test_optional_things_never_fail_the_doctor() -> None:
    vivado = next(one for one in doctor.examine() if one.name == "Vivado")
    assert not vivado.required
    assert doctor.lacking([vivado]) == []


def test_nextpnr_is_the_program_that_place_and_route_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing = FAMILIES["ecp5"].routing
    assert routing is not None
    program = Path(routing.program)
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for beside, state in ((tmp_path, doctor.OK), (tmp_path / "elsewhere", doctor.MISSING)):
        monkeypatch.setattr(sys, "executable", str(beside / "python"))
        found = next(one for one in doctor.examine() if one.name == "nextpnr")
        assert (found.state, found.required) == (state, False)
    assert str(program) in found.remedy


def test_json_says_the_same_as_the_exit_code() -> None:
    done = CliRunner().invoke(doctor.doctor, ["--json"], standalone_mode=False)
    report = json.loads(done.output)
    assert report["ok"] == (done.return_value == 0)
    python = report["findings"][0]
    assert python["name"] == "Python"
    assert python["found"] == ".".join(map(str, sys.version_info[:3]))
    assert set(python) == {
        "name",
        "required",
        "state",
        "found",
        "wanted",
        "remedy",
        "affected",
    }
