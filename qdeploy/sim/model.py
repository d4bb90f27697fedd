"""Build a Verilator model of a module into a shared library that Python drives.

    verilator --cc   Verilog to C++; no warning is waived that the spec does not name
    bind.cpp         generated: where the model's signals are
    driver.cpp       hw/sim: the clock loop, the same for every model, compiled once
    link             model + bind + driver + Verilator's runtime = sim.so

Built libraries are kept under the digest of everything that shaped them, sealed with their own: one
that was cut off would end the process that loads it, and is built again. The driver and the runtime
are kept in the user's cache: they are the same for every design, and take as long to compile as a
small one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdeploy.artifacts import atomic_folder, seal, sealed
from qdeploy.errors import ToolFailedError
from qdeploy.resources import resource
from qdeploy.scratch import is_plain, scratch_folder
from qdeploy.sim import bind
from qdeploy.sim.only_hardware import check_sources
from qdeploy.sim.simulator import Simulator
from qdeploy.sim.spec import SimSpec
from qdeploy.tools import ask_tool, find_tool, run_tool, tool_version
from qdeploy.user_cache import user_cache

LIBRARY = "sim.so"
# Hidden and non-unique symbols: several models, each with its own runtime, live in one process.
CXX_FLAGS = (
    "-std=gnu++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fno-gnu-unique",
)
# Our own vl_fatal, vl_warn, vl_stop and vl_finish throw instead of ending the process.
HOOKS = ("-DVL_USER_FATAL", "-DVL_USER_WARN", "-DVL_USER_STOP", "-DVL_USER_FINISH")
VERILATOR_FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert")
# The compiler's time grows faster than a function's length: long functions are cut. Files are put
# together: reading Verilator's headers takes longer than compiling what most of them hold.
SPLIT_STATEMENTS = 20000
SPLIT_FUNCTIONS = 2000
# Above this much C++ the files are compiled one by one, so that memory stays bounded.
ONE_FILE_BYTES = 24_000_000
COMPILE_TIMEOUT = 1800.0


def build_model(spec: SimSpec, build_dir: Path) -> Simulator:
    """Build the model of `spec`, or take it from `build_dir` when nothing that shapes it changed.

    Raises:
        ToolMissingError: Verilator, g++ or make is not installed.
        ToolFailedError: Verilator found a mistake or a warning in the sources, or the C++ compiler
            failed; the logs stay in `build_dir`.
        InternalError: the spec's ports are not those of the module.
        UserError: the sources do more than describe hardware.
    """
    for name in ("verilator", "make", "g++"):
        find_tool(name)
    build_dir = build_dir.absolute()
    sizes = f"{SPLIT_STATEMENTS} {SPLIT_FUNCTIONS} {ONE_FILE_BYTES}"
    folder = build_dir / f"{spec.top}-{spec.digest(_recipe(), sizes)[:16]}"
    with _alone(folder):
        if not sealed(folder):
            with atomic_folder(folder) as temporary, _plain_folder(temporary) as model:
                _build(spec, temporary, model, build_dir, build_dir / "logs" / folder.name)
                seal(temporary)
    return Simulator(folder / LIBRARY, spec)


def _build(spec: SimSpec, out: Path, model: Path, build_dir: Path, logs: Path) -> None:
    """Compile into `out`; `model` gets what Verilator writes, which goes afterwards."""
    check_sources((Path(source) for source in spec.sources), spec.folder)
    shutil.rmtree(logs, ignore_errors=True)
    model.mkdir(parents=True, exist_ok=True)
    settings = model / "settings.vlt"
    settings.write_text(spec.settings or "`verilator_config\n", encoding="utf-8")
    with _plain_files(spec.sources) as sources:
        run_tool(
            [
                find_tool("verilator"),
                *("--cc", "--top-module", spec.top, "--prefix", "Vdut", "--Mdir", model),
                *VERILATOR_FLAGS,
                *("--output-split", str(SPLIT_STATEMENTS)),
                *("--output-split-cfuncs", str(SPLIT_FUNCTIONS)),
                *("-CFLAGS", " ".join((*CXX_FLAGS, *HOOKS))),
                *(f"-Wno-{warning}" for warning in spec.waive),
                *(f"-G{name}={_literal(value)}" for name, value in spec.parameters.items()),
                *(f"-D{key}={text}" if text else f"-D{key}" for key, text in spec.defines.items()),
                settings,
                *sources,
            ],
            cwd=spec.folder,
            log_path=logs / "verilator.log",
            timeout=COMPILE_TIMEOUT,
        )
    header = (model / "Vdut.h").read_text(encoding="utf-8")
    (model / "bind.cpp").write_text(bind.bind_source(spec, header), encoding="utf-8")
    generated = sum(source.stat().st_size for source in model.glob("*.cpp"))
    run_tool(
        [
            find_tool("make"),
            *("-s", "-f", "Vdut.mk", f"-j{_jobs()}", "Vdut__ALL.a"),
            *(f"OPT_FAST={spec.optimize}", "OPT_SLOW=-O1"),
            f"VM_PARALLEL_BUILDS={int(generated > ONE_FILE_BYTES)}",
        ],
        cwd=model,
        log_path=logs / "make.log",
        timeout=COMPILE_TIMEOUT,
    )
    runtime = _runtime()
    run_tool(
        [
            find_tool("g++"),
            *(*CXX_FLAGS, *HOOKS, "-O1", "-shared", "-Wl,-Bsymbolic"),
            *_includes(),
            *("-o", out / LIBRARY, "bind.cpp"),
            *(runtime / "driver.o", "Vdut__ALL.a", runtime / "verilated.o"),
            *(runtime / "verilated_threads.o", "-pthread"),
        ],
        cwd=model,
        log_path=logs / "link.log",
        timeout=COMPILE_TIMEOUT,
    )
    if not (out / LIBRARY).exists():
        raise ToolFailedError("g++ ended without the library", where=f"log: {logs / 'link.log'}")
    shutil.rmtree(model)


@contextlib.contextmanager
def _plain_files(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Absolute paths that Verilator takes as they stand: links, where a path has a character that
    means something to it, as `$` and `*` do.
    """
    paths = [Path(file).absolute() for file in files]
    if all(is_plain(path) for path in paths):
        yield paths
        return
    with scratch_folder("sources") as folder:
        links = [folder / str(index) / path.name for index, path in enumerate(paths)]
        for link, path in zip(links, paths, strict=True):
            link.parent.mkdir()
            link.symlink_to(path)
        yield links


@contextlib.contextmanager
def _plain_folder(out: Path) -> Iterator[Path]:
    """A folder that make can work in: below `out`, or a temporary one where that path has a space
    or a character that means something to make.
    """
    if is_plain(out):
        yield out / "model"
        return
    with scratch_folder("model") as folder:
        yield folder / "model"


def _runtime() -> Path:
    """Folder with the objects all models share: the driver and Verilator's own runtime."""
    store = user_cache("simulators")
    folder = store / f"runtime-{hashlib.sha256(_recipe().encode()).hexdigest()[:16]}"
    with _alone(folder):
        if not sealed(folder):
            _build_runtime(folder, store / "logs" / "runtime.log")
    return folder


def _build_runtime(folder: Path, log: Path) -> None:
    with atomic_folder(folder) as temporary:
        include = _verilator_root() / "include"
        run_tool(
            [
                find_tool("g++"),
                *("-c", *CXX_FLAGS, *HOOKS, "-O2", *_includes()),
                resource("hw/sim/driver.cpp"),
                include / "verilated.cpp",
                include / "verilated_threads.cpp",
            ],
            cwd=temporary,
            log_path=log,
            timeout=COMPILE_TIMEOUT,
        )
        seal(temporary)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time build `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe() -> str:
    """Everything outside the spec that shapes a library and the runtime in it."""
    tools = (platform.machine(), tool_version("verilator"), tool_version("g++"))
    texts = [*tools, *CXX_FLAGS, *HOOKS, *VERILATOR_FLAGS]
    texts += [resource(f"hw/sim/{name}").read_text() for name in ("driver.cpp", "model.h")]
    texts.append(Path(bind.__file__).read_text(encoding="utf-8"))
    return "\0".join(texts)


def _includes() -> list[str]:
    root = _verilator_root() / "include"
    return [f"-I{resource('hw/sim')}", "-I.", f"-I{root}", f"-I{root / 'vltstd'}"]


def _verilator_root() -> Path:
    root = Path(ask_tool([find_tool("verilator"), "--getenv", "VERILATOR_ROOT"]).strip())
    if not (root / "include" / "verilated.cpp").exists():
        raise ToolFailedError(
            "Verilator's runtime sources are not where it says",
            where=str(root),
            do="reinstall the Debian package `verilator`",
        )
    return root


def _literal(value: int | str) -> str:
    """A parameter value as Verilator's -G takes it."""
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


def _jobs() -> int:
    return len(os.sched_getaffinity(0))
