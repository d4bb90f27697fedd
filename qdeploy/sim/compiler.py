"""The C++ compiler on what Verilator wrote: one call for all but very large models.

What every model shares is kept in the user's cache, compiled: the driver and Verilator's runtime,
which take as long as a small design, and Verilator's header, which most of a small model's time
goes to.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qdeploy.artifacts import atomic_folder, seal, sealed
from qdeploy.errors import OutOfMemoryError, ToolFailedError
from qdeploy.resources import resource
from qdeploy.tools import ask_tool, find_tool, run_tool, tool_version
from qdeploy.user_cache import user_cache

# Hidden and non-unique symbols: several models, each with its own runtime, live in one process.
CXX_FLAGS = (
    "-std=gnu++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fno-gnu-unique",
    "-fcf-protection=none",
)
# Our own vl_fatal, vl_warn, vl_stop and vl_finish throw instead of ending the process.
HOOKS = ("-DVL_USER_FATAL", "-DVL_USER_WARN", "-DVL_USER_STOP", "-DVL_USER_FINISH")
# Where reading Verilator's header is much of the work. It is compiled for each level: one that was
# compiled at another ends g++ 12 with an internal error.
HEADER_LEVELS = ("-O0", "-O1")
COMPILE_TIMEOUT = 1800.0


def compile_whole(model: Path, library: Path, level: str, logs: Path) -> None:
    """Compile and link a model as one file: reading the headers takes longer than compiling what
    most of its files hold.

    Args:
        model: what Verilator wrote (`Vdut*.cpp`), and `bind.cpp`.
        level: for the compiler, such as `-O1`.

    Raises:
        ToolFailedError: the compiler failed; the log is in `logs`.
    """
    sources = [*sorted(path.name for path in model.glob("Vdut*.cpp")), "bind.cpp"]
    text = "".join(f'#include "{name}"\n' for name in sources)
    (model / "whole.cpp").write_text(text, encoding="utf-8")
    if level in HEADER_LEVELS:
        try:
            _link(model, library, ["-include", _header(level), level, "whole.cpp"], logs)
            return
        except OutOfMemoryError:
            raise
        except ToolFailedError:
            pass  # Should a compiler not take the header that it made, the sources alone decide.
    _link(model, library, [level, "whole.cpp"], logs)


def compile_apart(model: Path, library: Path, level: str, logs: Path) -> None:
    """Compile a model file by file, so that memory stays bounded; otherwise as `compile_whole`."""
    run_tool(
        [
            find_tool("make"),
            *("-s", "-f", "Vdut.mk", f"-j{len(os.sched_getaffinity(0))}", "Vdut__ALL.a"),
            *(f"OPT_FAST={level}", "OPT_SLOW=-O1", "VM_PARALLEL_BUILDS=1"),
        ],
        cwd=model,
        log_path=logs / "make.log",
        timeout=COMPILE_TIMEOUT,
    )
    _link(model, library, ["-O1", "bind.cpp", "Vdut__ALL.a"], logs)


def recipe() -> str:
    """Everything outside a model's sources that shapes its library and the runtime in it."""
    driver = [resource(f"hw/sim/{name}").read_text() for name in ("driver.cpp", "model.h")]
    return "\0".join([_tools(), *CXX_FLAGS, *HOOKS, *driver])


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time build `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _link(model: Path, library: Path, words: Sequence[str | Path], logs: Path) -> None:
    runtime = _runtime()
    # Verilator's code has unused variables and the like.
    command = [*_compiler(), "-w", "-shared", "-Wl,-Bsymbolic", "-I.", *words]
    objects = [runtime / f"{name}.o" for name in ("driver", "verilated", "verilated_threads")]
    command += ["-o", library, *objects, "-pthread"]
    run_tool(command, cwd=model, log_path=logs / "g++.log", timeout=COMPILE_TIMEOUT)
    if not library.exists():
        raise ToolFailedError("g++ ended without the library", where=f"log: {logs / 'g++.log'}")


def _runtime() -> Path:
    """Folder with the objects all models share: the driver and Verilator's own runtime."""
    include = _verilator_root() / "include"
    sources = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    words: list[str | Path] = ["-c", "-O2", resource("hw/sim/driver.cpp"), *sources]
    return _kept("runtime", recipe(), words, {})


def _header(level: str) -> Path:
    """Verilator's header, beside it its compiled form for `level`."""
    name = "verilated_once.h"
    words = [level, "-x", "c++-header", name, "-o", f"{name}.gch"]
    text = '#include "verilated.h"\n'
    folder = _kept("header", "\0".join([_tools(), *CXX_FLAGS, *HOOKS, level]), words, {name: text})
    return folder / name


def _kept(name: str, content: str, words: Sequence[str | Path], files: Mapping[str, str]) -> Path:
    """Folder of the user's cache with what the compiler makes of `words`, once for `content`."""
    store = user_cache("simulators")
    folder = store / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    with alone(folder):
        if not sealed(folder):
            with atomic_folder(folder) as temporary:
                for file, text in files.items():
                    (temporary / file).write_text(text, encoding="utf-8")
                command = [*_compiler(), *words]
                log = store / "logs" / f"{name}.log"
                run_tool(command, cwd=temporary, log_path=log, timeout=COMPILE_TIMEOUT)
                seal(temporary)
    return folder


def _compiler() -> list[str | Path]:
    root = _verilator_root() / "include"
    includes = [f"-I{path}" for path in (resource("hw/sim"), root, root / "vltstd")]
    return [find_tool("g++"), *CXX_FLAGS, *HOOKS, *includes]


def _tools() -> str:
    return "\0".join([platform.machine(), tool_version("verilator"), tool_version("g++")])


def _verilator_root() -> Path:
    return _root_of(find_tool("verilator"))


@functools.cache
def _root_of(verilator: Path) -> Path:
    root = Path(ask_tool([verilator, "--getenv", "VERILATOR_ROOT"]).strip())
    if not (root / "include" / "verilated.cpp").exists():
        raise ToolFailedError(
            "Verilator's runtime sources are not where it says",
            where=str(root),
            do="reinstall the Debian package `verilator`",
        )
    return root
