"""The command line's frame: what it loads, and how each kind of error leaves it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import click
import pytest

from qdeploy.cli.main import COMMANDS, qdeploy, run
from qdeploy.errors import InternalError, UserError, VerificationError
from qdeploy.resources import resource

HEAVY = ("torch", "brevitas", "finn", "qonnx", "onnx", "onnxruntime", "sklearn", "numpy", "rich")


def _failing(error: BaseException) -> click.Group:
    """A command line with `--debug` whose one command `fail` raises `error`."""

    @click.group()
    @click.option("--debug", is_flag=True)
    @click.pass_obj
    def group(settings: object, debug: bool) -> None:
        settings.debug = debug  # type: ignore[attr-defined]

    @group.command()
    def fail() -> None:
        raise error

    return group


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_help_names_every_command_and_loads_no_heavy_module() -> None:
    done = _python(
        "import sys\n"
        "from qdeploy.cli.main import qdeploy, run\n"
        "assert run(qdeploy, ['--help']) == 0\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"
    for name, entry in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert entry.help in done.stdout


def test_version_is_printed() -> None:
    done = _python(
        "from qdeploy.cli.main import qdeploy, run\nassert run(qdeploy, ['--version']) == 0"
    )
    assert done.stdout == "qdeploy, version 0.1.0\n"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_loads_neither_torch_nor_finn(name: str) -> None:
    done = _python(
        "import sys\n"
        "from qdeploy.cli.main import qdeploy, run\n"
        f"assert run(qdeploy, [{name!r}, '--help']) == 0\n"
        "print('loaded:', [m for m in ('torch', 'finn', 'onnxruntime') if m in sys.modules])"
    )
    assert done.stdout.startswith(f"Usage: qdeploy {name}")
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_user_error_is_shown_in_labelled_lines_without_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = UserError("`x` is wrong", where="a.yaml:3", why="it is odd", do="make it even")
    assert run(_failing(error), ["fail"]) == 2
    assert capsys.readouterr().err == (
        "error: `x` is wrong\n  where    a.yaml:3\n  why      it is odd\n  do this  make it even\n"
    )


def test_debug_adds_the_traceback_of_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_failing(UserError("`x` is wrong")), ["--debug", "fail"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_failed_verification_exits_with_1_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(_failing(VerificationError("rtl differs from int")), ["fail"]) == 1
    assert capsys.readouterr().err == "error: rtl differs from int\n"


def test_internal_error_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_failing(InternalError("a promise was broken")), ["fail"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "error: a promise was broken\n" in shown
    assert "please report it" in shown


def test_unforeseen_error_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run(_failing(ZeroDivisionError()), ["fail"])


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (NotADirectoryError(errno.ENOTDIR, "", "runs/file/a"), "`runs/file/a` cannot be used: Not"),
        (FileExistsError(errno.EEXIST, "", "runs/file"), "`runs/file` cannot be used: File exists"),
        (PermissionError(errno.EACCES, "", "/x"), "`/x` cannot be used: Permission denied"),
        (IsADirectoryError(errno.EISDIR, "", "o/.a.json.0.part", None, "o/a.json"), "`o/a.json`"),
        (OSError(errno.EROFS, "", "/b/.out.1.part"), "`/b` cannot be used: Read-only file system"),
        (OSError(errno.ENOSPC, "", "/b/.out.1.part/rtl/a.v"), "`/b` cannot be used: No space left"),
        (OSError(errno.ENOSPC, ""), "a file cannot be written: No space left on device"),
    ],
)
def test_what_the_system_refuses_on_a_users_path_is_the_users_to_fix(
    error: OSError, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_failing(error), ["fail"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {named}")
    assert "\n  do this  " in shown and "Traceback" not in shown
    assert run(_failing(error), ["--debug", "fail"]) == 2
    assert type(error).__name__ in capsys.readouterr().err


@pytest.mark.parametrize(("out", "why"), [("file", "File exists"), ("file/run", "Not a directory")])
def test_training_into_a_file_is_the_users_to_fix(
    out: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    recipe = resource("models/quickstart/digits_fcdnn_w2a2.yaml")
    words = ["train", str(recipe), "--any-network", "--out", str(tmp_path / out)]
    assert run(qdeploy, words) == 2
    shown = capsys.readouterr().err
    assert f"`{tmp_path / out}` cannot be used: {why}" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "", "rtl/design.json"),
        FileExistsError(errno.EEXIST, "", "build/.tiny.12.part/rtl"),
        ConnectionResetError(errno.ECONNRESET, ""),
        PermissionError(errno.EPERM, ""),
        TimeoutError(),
    ],
)
def test_an_error_of_the_system_that_no_path_of_the_user_explains_is_not_swallowed(
    error: OSError,
) -> None:
    with pytest.raises(type(error)):
        run(_failing(error), ["fail"])


def test_interrupt_exits_with_130_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_failing(KeyboardInterrupt()), ["fail"]) == 130
    shown = capsys.readouterr().err.strip()
    assert shown == "interrupted; what was finished stays, nothing half-written is kept"


def test_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_failing(UserError("never raised")), ["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
