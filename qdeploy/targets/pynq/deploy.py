"""A package onto a board, over one ssh connection: copied, then tested there.

The package travels as a tar archive on the connection's input, into a folder beside the one it
replaces, so that a copy that breaks off changes nothing. Then the driver's self-test runs, as root:
with `sudo -n` where the login is another. Its report comes back on the connection's output.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from qdeploy.bounded import read_json
from qdeploy.build_folder import PACKAGE_FOLDER
from qdeploy.errors import ToolFailedError, ToolMissingError, UserError
from qdeploy.targets.pynq.package import BITFILE, BUNDLE_FILE

# user@board, board, or a name from ssh's configuration; never an option.
TARGET = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]%-]*")
FOLDER = re.compile(r"[A-Za-z0-9_./~-]+")
CONNECT_SECONDS, ANSWER_SECONDS = 10, 900
MAX_REPORT = 1 << 20
# ssh's own exit status when there is no connection; those of the script below.
NO_CONNECTION, NO_ROOT, NO_PYTHON, NO_COPY, NO_PACKAGE = 255, 91, 92, 93, 94
# Where PYNQ's images have their Python, with numpy and pynq.
ENVIRONMENT = ("/etc/profile.d/pynq_venv.sh", "/etc/profile.d/xrt_setup.sh")
_LEFT_OUT = ("vivado/project", "vivado/vivado.log", ".Xil", "open/accelerator", "open/yosys.log")


@dataclass(frozen=True)
class Deployed:
    """What became of it.

    Args:
        folder: on the board, as it was given.
        report: of the self-test, None when it was not asked for.
    """

    folder: str
    report: dict[str, Any] | None

    @property
    def passed(self) -> bool:
        """Whether nothing was found wrong."""
        return self.report is None or self.report.get("passed") is True


def deploy(
    build: Path,
    target: str,
    *,
    folder: str | None = None,
    port: int | None = None,
    identity: Path | None = None,
    options: Sequence[str] = (),
    selftest: bool = True,
) -> Deployed:
    """Copy the package of a build to a board and run its self-test there.

    Args:
        build: a build folder, or a package.
        target: user@board, or a name from ssh's configuration.
        folder: on the board; `qdeploy/NAME` in the login's home when None.
        port, identity: for ssh, where its configuration does not say.
        options: more for ssh, each as after its `-o`.
        selftest: False only copies.

    Raises:
        UserError: no package, no bitstream, no such host, no root there, or no PYNQ.
        ToolMissingError: ssh is not installed.
        ToolFailedError: the copy or the self-test broke.
    """
    package = _package(build)
    name = str(read_json(package / BUNDLE_FILE)["name"])
    where = folder or f"qdeploy/{name}"
    if not TARGET.fullmatch(target):
        raise UserError(
            f"`{target}` is no address of a board", expected="user@board, such as root@192.168.2.99"
        )
    if not FOLDER.fullmatch(where) or ".." in where.split("/") or where.strip("~/. ") == "":
        raise UserError(
            f"`{where}` is no folder to copy to",
            expected="a path of letters, digits and ._-/, without `..`",
        )
    ssh = shutil.which("ssh")
    if ssh is None:
        raise ToolMissingError(
            "`ssh` is not installed, or not on the PATH",
            do="install the Debian package `openssh-client`, or copy the package to the board by"
            " other means: its README says how to go on there",
        )
    command = [ssh, "-T", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    command += [part for option in options for part in ("-o", option)]
    command += [] if port is None else ["-p", str(port)]
    command += [] if identity is None else ["-i", str(identity)]
    command += ["--", target, _script(where, selftest)]
    status, output, said = _connection(command, package)
    if status == NO_CONNECTION:
        raise UserError(
            f"`{target}` cannot be reached by ssh",
            why=said or "ssh did not say why",
            do=f"check that `ssh {target}` works and that the board is on",
        )
    if status == NO_ROOT:
        raise UserError(
            f"the login `{target}` is not root, and sudo asks for a password",
            where=f"the package is in {where}",
            do="deploy to root@…, allow that login sudo without password, or run the self-test on"
            " the board yourself; --no-selftest only copies",
        )
    if status == NO_PYTHON:
        raise UserError(
            f"`{target}` has no Python with numpy and pynq",
            where=f"the package is in {where}",
            why=said,
            do="boot the board from a PYNQ image; the package's README names one",
        )
    if status == NO_PACKAGE:
        raise UserError(
            f"`{where}` on the board is there and is no package; nothing was changed",
            do="give another --folder, or remove it yourself",
        )
    if status == NO_COPY:
        raise UserError(f"the package cannot be written to `{where}` on the board", why=said)
    if not selftest and status == 0:
        return Deployed(where, None)
    return Deployed(where, _report(status, output, said, target))


def _package(build: Path) -> Path:
    """The package of a build, or the folder itself where it is one."""
    for package in (build / PACKAGE_FOLDER, build):
        if (package / BUNDLE_FILE).is_file():
            break
    else:
        raise UserError(
            f"`{build}` has no package", do="give the folder that `qdeploy export` wrote"
        )
    bitstream = package / BITFILE
    for needed in (bitstream, bitstream.with_suffix(".hwh")):
        if not needed.is_file():
            raise UserError(
                f"the package has no `{needed.relative_to(package)}`",
                where=str(package),
                do="run `make bitstream` there, where Vivado is installed",
            )
    return package


def _script(folder: str, selftest: bool) -> str:
    """What the board's shell does with the archive on its input."""
    home, rest = ("$HOME/", folder[2:]) if folder.startswith("~/") else ("", folder)
    place = f'"{home}"{shlex.quote(rest)}' if home else shlex.quote(rest)
    lines = [
        f"place={place}",
        'new="$place.new.$$"',
        'old="$place.old.$$"',
        f'if [ -e "$place" ] && [ ! -f "$place/{BUNDLE_FILE}" ]; then exit {NO_PACKAGE}; fi',
        'trap \'rm -rf "$new" "$old"\' EXIT',
        f'mkdir -p "$new" && tar -xf - -C "$new" || exit {NO_COPY}',
        f'if [ -e "$place" ]; then mv "$place" "$old" || exit {NO_COPY}; fi',
        f'mv "$new" "$place" || exit {NO_COPY}',
    ]
    if selftest:
        sourced = "; ".join(f"[ ! -r {path} ] || . {path}" for path in ENVIRONMENT)
        tried = "python3 -c 'import numpy, pynq'"
        test = "python3 -B -m driver selftest"
        inner = f"{sourced}; {tried} || exit {NO_PYTHON}; exec {test}"
        lines += [
            'cd "$place" || exit 1',
            f'if [ "$(id -u)" = 0 ]; then sh -c {shlex.quote(inner)}; exit $?; fi',
            f"sudo -n true 2>/dev/null || exit {NO_ROOT}",
            f"sudo -n sh -c {shlex.quote(inner)}",
        ]
    return "\n".join(lines)


def _connection(command: list[str], package: Path) -> tuple[int, str, str]:
    """Exit status, output, and the last line of what was said beside it."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # the exit status says why
                _send(package, program.stdin)
            output, said = program.communicate(timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ToolFailedError(f"the board gave no answer within {ANSWER_SECONDS} s") from error
        finally:
            program.kill()
    text = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return program.returncode, output[:MAX_REPORT].decode("utf-8", "replace"), "\n".join(text[-3:])


def _send(package: Path, pipe: IO[bytes]) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = entry.name.removeprefix("./")
        left_out = name.startswith(_LEFT_OUT) or "__pycache__" in name or name.endswith(".so")
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return None if left_out else entry

    with tarfile.open(fileobj=pipe, mode="w|") as archive:
        archive.add(package, arcname=".", filter=kept)


def _report(status: int, output: str, said: str, target: str) -> dict[str, Any]:
    try:
        found = json.loads(output)
    except ValueError:
        found = None
    if status in (0, 1) and isinstance(found, dict) and isinstance(found.get("passed"), bool):
        return found
    raise ToolFailedError(
        f"the self-test on `{target}` broke with exit status {status}", why=said or output[-500:]
    )
