"""Build a Verilator model of a module into a shared library that Python drives.

    verilator --cc   Verilog to C++; no warning is waived that the spec does not name
    bind.cpp         generated: where the model's signals are
    driver.cpp       hw/sim: the clock loop, the same for every model, compiled once
    g++              model + bind + driver + Verilator's runtime = sim.so (`sim.compiler`)

Built libraries are kept under the digest of everything that shaped them, sealed with their own: one
that was cut off would end the process that loads it, and is built again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdeploy.artifacts import atomic_folder, seal, sealed
from qdeploy.scratch import is_plain, scratch_folder
from qdeploy.sim import bind, compiler
from qdeploy.sim.compiler import (
    COMPILE_TIMEOUT,
    CXX_FLAGS,
    HOOKS,
    alone,
    compile_apart,
    compile_whole,
    recipe,
)
from qdeploy.sim.only_hardware import check_sources
from qdeploy.sim.simulator import Simulator
from qdeploy.sim.spec import SimSpec
from qdeploy.tools import find_tool, run_tool

LIBRARY = "sim.so"
VERILATOR_FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert")
# The compiler's time grows faster than a function's length: long functions are cut.
SPLIT_STATEMENTS = 20000
SPLIT_FUNCTIONS = 2000
# Above this much C++ the files are compiled one by one, so that memory stays bounded.
ONE_FILE_BYTES = 24_000_000


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
    with alone(folder):
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
    compile_it = compile_apart if generated > ONE_FILE_BYTES else compile_whole
    compile_it(model, out / LIBRARY, spec.optimize, logs)
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


def _recipe() -> str:
    """Everything outside the spec that shapes a library."""
    ours = [Path(file).read_text(encoding="utf-8") for file in (bind.__file__, compiler.__file__)]
    return "\0".join([recipe(), *VERILATOR_FLAGS, *ours])


def _literal(value: int | str) -> str:
    """A parameter value as Verilator's -G takes it."""
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)
