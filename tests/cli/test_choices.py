"""Options with lists: help shows the values, and a shell completes them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qdeploy.devices.boards import list_boards
from qdeploy.verify.ladder import RUNGS


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of `words`."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'qdeploy'\n"
         "from qdeploy.cli.main import main; main()"],
        env={
            **os.environ,
            "_QDEPLOY_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["qdeploy", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command", ["estimate", "export", "bits"])
def test_boards_are_completed(command: str) -> None:
    known = [name for name in list_boards() if name.startswith("pynq")]
    assert completed(command, "--board", "pynq") == known != []


def test_targets_rungs_and_commands_are_completed() -> None:
    assert completed("export", "--target", "py") == ["pynq"]
    assert completed("verify", "--skip", "net") == ["'netlist layer'", "netlist"]
    assert completed("export", "--require", "r") == ["rtl"]
    assert completed("est") == ["estimate"]
    assert "--max-lut" in completed("export", "--max")


def test_help_lists_the_values() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qdeploy", "export", "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"[{'|'.join(RUNGS)}]" in done.stdout
    assert f"[{'|'.join(list_boards())}|FILE.yaml]" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_is_printed(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'qdeploy'\n"
         "from qdeploy.cli.main import main; main()"],
        env={**os.environ, "_QDEPLOY_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert f"_QDEPLOY_COMPLETE={shell}_complete" in done.stdout
