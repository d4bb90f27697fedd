"""A package to a board over ssh: a server of its own on this machine stands in for the board's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qdeploy.cli.deploy import deploy as command
from qdeploy.errors import ToolFailedError, ToolMissingError, UserError
from qdeploy.targets.pynq import deploy as deploying
from qdeploy.targets.pynq.deploy import deploy

REPOSITORY = Path(__file__).resolve().parents[3]
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
needs_server = pytest.mark.skipif(
    SSHD is None or os.geteuid() != 0, reason="needs root and Debian's openssh-server"
)
# The stand-in board as the module `pynq` of a process of its own.
PYNQ = """
import sys
from pathlib import Path
from fake_board import FakeBoard
BOARD = FakeBoard(Path({library!r}), Path({rtl!r}))
sys.modules["pynq"] = BOARD.module()
"""


class Server:
    """An ssh server for one key, on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.key, self.home = folder / "key", folder / "home"
        self.home.mkdir()
        self.environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        self._folder = folder
        for name in ("key", "host"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copyfile(folder / "key.pub", folder / "authorized")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SSHD is not None
        Path("/run/sshd").mkdir(exist_ok=True)
        given = " ".join(f'"{name}={value}"' for name, value in self.environment.items())
        (self._folder / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self._folder / 'host'}\n"
            f"AuthorizedKeysFile {self._folder / 'authorized'}\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nPidFile none\nSetEnv {given}\n"
        )
        with (self._folder / "log").open("wb") as log:
            command = [SSHD, "-D", "-e", "-f", str(self._folder / "config")]
            self._process = subprocess.Popen(command, stderr=log)
        for _ in range(100):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    @property
    def options(self) -> dict[str, Any]:
        known = f"UserKnownHostsFile={self._folder / 'known'}"
        more = (known, "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR")
        return {"port": self.port, "identity": self.key, "options": more}


@pytest.fixture
def server(toy_package: Path, toy_model: Path, tmp_path: Path) -> Iterator[Server]:
    """A board with the toy package's hardware behind ssh."""
    made = Server(tmp_path)
    modules = tmp_path / "modules"
    modules.mkdir()
    text = PYNQ.format(library=str(toy_model), rtl=str(toy_package / "rtl"))
    (modules / "pynq.py").write_text(text)
    paths = (modules, REPOSITORY / "tests/support", REPOSITORY)
    made.environment["PYTHONPATH"] = ":".join(str(path) for path in paths)
    yield made
    made.stop()


@pytest.fixture
def package(toy_package: Path, bitstream: Path, tmp_path: Path) -> Path:
    """A copy of the toy package with its bitstream, in a build folder; the build."""
    shutil.copytree(toy_package, tmp_path / "build/package")
    return tmp_path / "build"


@needs_server
def test_a_package_is_copied_tested_and_replaced_as_a_whole(
    server: Server, package: Path, tmp_path: Path
) -> None:
    server.start()
    place = tmp_path / "home/board/toy"
    done = deploy(package, "root@127.0.0.1", folder=str(place), **server.options)
    assert done.passed and done.report is not None
    assert (done.report["frames"], done.report["codes"]) == (20, 100)
    assert (place / "bitstream/accelerator.bit").is_file()
    (place / "of_before").touch()
    path = place / "golden/golden.npz"
    with np.load(package / "package/golden/golden.npz") as data:
        changed = dict(data)
    changed["outputs"][3, 1] += 1
    np.savez(package / "package/golden/golden.npz", **changed)
    arguments = [str(package), "root@127.0.0.1", "--folder", str(place)]
    arguments += ["--port", str(server.port), "--identity", str(server.key)]
    arguments += [part for one in server.options["options"] for part in ("--ssh-option", one)]
    ran = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert ran.return_value == 1, ran
    assert "self-test FAILED: " in ran.output and "'frame': 3" in ran.output
    assert path.read_bytes() == (package / "package/golden/golden.npz").read_bytes()
    assert not (place / "of_before").exists()
    assert [one.name for one in place.parent.iterdir()] == ["toy"]


@needs_server
def test_a_folder_that_is_no_package_stays_as_it_is(
    server: Server, package: Path, tmp_path: Path
) -> None:
    server.start()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is no package; nothing was changed"):
        deploy(package, "root@127.0.0.1", folder=str(tmp_path / "mine"), **server.options)
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="cannot be written"):
        deploy(package, "root@127.0.0.1", folder="/proc/nowhere", **server.options)


@needs_server
def test_a_board_without_pynq_and_a_self_test_that_breaks_are_told(
    server: Server, package: Path, tmp_path: Path
) -> None:
    pynq = tmp_path / "modules/pynq.py"
    text = pynq.read_text()
    pynq.write_text("raise ImportError('no pynq here')")
    server.start()
    place = str(tmp_path / "there")
    with pytest.raises(UserError, match=r"no Python with numpy and pynq[\s\S]*no pynq here"):
        deploy(package, "root@127.0.0.1", folder=place, **server.options)
    done = deploy(package, "root@127.0.0.1", folder=place, selftest=False, **server.options)
    assert done.report is None and done.passed
    broken = text + "BOARD.blocks = []\n"
    pynq.write_text(broken)
    with pytest.raises(ToolFailedError, match=r"exit status 2[\s\S]*not of a qdeploy package"):
        deploy(package, "root@127.0.0.1", folder=place, **server.options)


@needs_server
def test_a_host_that_is_not_there_or_does_not_let_in_is_told(
    server: Server, package: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"cannot be reached[\s\S]*refused"):
        deploy(package, "root@127.0.0.1", **server.options)
    with pytest.raises(UserError, match="cannot be reached"):
        deploy(package, "root@no-such-board.invalid", **server.options)
    (tmp_path / "authorized").write_text("")
    server.start()
    with pytest.raises(UserError, match=r"cannot be reached[\s\S]*Permission denied"):
        deploy(package, "root@127.0.0.1", **server.options)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda build: shutil.rmtree(build / "package"), "has no package"),
        (lambda build: (build / "package/bitstream/accelerator.bit").unlink(), "make bitstream"),
        (lambda build: (build / "package/bitstream/accelerator.hwh").unlink(), "make bitstream"),
    ],
    ids=["no package", "no bit", "no hwh"],
)
def test_what_is_not_ready_is_refused_before_any_connection(
    change: Callable[[Path], object], told: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "_connection", None)
    change(package)
    with pytest.raises(UserError, match=told):
        deploy(package, "root@board")


@pytest.mark.parametrize("target", ["", "-oProxyCommand=sh", "a b", "root@", "@board", "a;b", "$x"])
def test_no_address_becomes_an_option_or_a_command(
    target: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "_connection", None)
    with pytest.raises(UserError, match="no address of a board"):
        deploy(package, target)


@pytest.mark.parametrize("folder", ["/", "~", "../up", "a/../../b", "a b", "$(id)", ".", "~/"])
def test_no_folder_is_a_command_or_all_there_is(
    folder: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "_connection", None)
    with pytest.raises(UserError, match="no folder to copy to"):
        deploy(package, "root@board", folder=folder)


def test_without_ssh_the_command_says_so(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissingError, match="openssh-client"):
        deploy(package, "root@board")
