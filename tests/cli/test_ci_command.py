"""`qdeploy ci init`: workflows that the schemas take, whose commands run; no file is lost."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from doc_blocks import blocks, call, commands

from qdeploy.cli.ci import ci
from qdeploy.cli.main import qdeploy
from qdeploy.errors import UserError

SERVERS = {"github": Path(".github/workflows/qdeploy.yml"), "gitlab": Path(".gitlab-ci.yml")}
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
RECIPE = """\
name: small
network: {type: fcdnn, width: 8, depth: 1}
data: {name: digits, batch_size: 64}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 2, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 2, optimizer: {lr: 0.01}}
"""
LIMITS = ("--fps", "100000", "--max-lut", "20%", "--min-accuracy", "50%")
OTHERS = ("--min-miou", "0.4", "--min-r2", "-0.5", "--max-mae", "2.5")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path


def init(server: str, *words: str) -> str:
    done = CliRunner().invoke(
        ci, ["init", "small.yaml", f"--{server}", *words], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return SERVERS[server].read_text()


def lines(server: str, text: str) -> list[str]:
    """The commands that the job runs."""
    data: dict[str, Any] = yaml.safe_load(text)
    if server == "gitlab":
        job = data["accelerator"]
        found: list[str] = [*job["before_script"], *job["script"], *job["after_script"]]
        return found
    return [step["run"] for step in data["jobs"]["accelerator"]["steps"] if "run" in step]


@pytest.mark.parametrize("server", SERVERS)
def test_the_workflow_does_each_step_with_commands_that_exist(here: Path, server: str) -> None:
    found = lines(server, init(server, *LIMITS, *OTHERS, "--baseline", "ci/baseline.json"))
    ours = [shlex.split(line) for line in found if line.startswith("qdeploy ")]
    assert [words[1] for words in ours] == ["train", "export", "check"]
    for words in ours:
        with click.Context(qdeploy) as parent:
            command = qdeploy.get_command(parent, words[1])
            assert command is not None
            command.make_context(words[1], words[2:], parent=parent)  # raises for a wrong option
    check = ours[-1]
    for option in ("--junit", "--summary", "--max-lut", "--min-fps", "--min-accuracy", "--against"):
        assert option in check
    assert all(word in check for word in OTHERS)
    assert any("verilator yosys" in line for line in found)
    assert any(line.startswith("cat qdeploy-summary.md") for line in found)


@pytest.mark.parametrize("server", SERVERS)
def test_the_servers_schema_takes_the_workflow(here: Path, server: str) -> None:
    pytest.importorskip("check_jsonschema", reason="of the extra `dev`")
    init(server, *LIMITS)
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[server]]
    done = subprocess.run([*words, SERVERS[server]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_no_file_is_replaced_unless_asked(here: Path) -> None:
    SERVERS["gitlab"].write_text("mine")
    with pytest.raises(UserError, match=r"`\.gitlab-ci\.yml` exists already"):
        init("gitlab")
    assert SERVERS["gitlab"].read_text() == "mine"
    assert "accelerator:" in init("gitlab", "--force")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small.yaml"], "--github or --gitlab"),
        (["nothing.yaml", "--github"], "there is no recipe `nothing.yaml`"),
        (["../small.yaml", "--github"], "cannot be named in a workflow"),
        (["small.yaml", "--github", "--board", "pynq-z9"], "is not known"),
        (["small.yaml", "--github", "--baseline", "${{ secrets.x }}"], "cannot be named"),
        (["small.yaml", "--github", "--package", "x; reboot"], "cannot be named"),
        (["small.yaml", "--github", "--min-accuracy", "high"], "is no share"),
    ],
)
def test_bad_input_writes_nothing(here: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(ci, ["init", *words])
    assert done.exit_code != 0
    assert message in f"{done.output}{done.exception}"
    assert not (here / ".github").exists()


@pytest.mark.slow
def test_the_commands_of_the_workflow_run_and_run_again(here: Path) -> None:
    found, other = (
        [line for line in lines(server, init(server, *LIMITS)) if line.startswith("qdeploy ")]
        for server in SERVERS
    )
    assert found == other
    for _ in range(2):  # the second time with the run and the caches of the first
        for line in found:
            done = call(shlex.split(line)[1:], here)
            assert done.code == 0, done.err + done.out
    assert "all checks hold" in (here / "qdeploy-summary.md").read_text()
    assert "<testsuite " in (here / "qdeploy-junit.xml").read_text()


@pytest.mark.slow
def test_the_page_about_ci_runs_as_written(here: Path) -> None:
    (here / "mine.yaml").write_text(RECIPE.replace("small", "mine"))
    for words in commands("ci.md"):
        done = call(words, here)
        assert done.code == 0, (words, done.err + done.out)
    (here / "test_accelerator.py").write_text(blocks("ci.md", "python")[0])
    plugin = ["-p", "no:qdeploy", "-p", "qdeploy.pytest_plugin"]  # also where it is not installed
    words = [sys.executable, "-m", "pytest", "-q", *plugin, "."]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
