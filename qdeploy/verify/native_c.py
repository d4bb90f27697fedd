"""A build's C sources as a program of this machine: compiled, and run on frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.bounded import read_json
from qdeploy.build_folder import C_PLAN_PATH
from qdeploy.codegen.c.choices import BALANCED, load_choices
from qdeploy.codegen.c.plan import Budgets
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.codegen.c.taps import input_bytes, tapped, taps_header
from qdeploy.errors import ToolFailedError, UserError, VerificationError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.resources import resource
from qdeploy.tools import find_tool, run_tool
from qdeploy.verify.narrow import Narrow

STANDARD = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
OPTIMIZED = ("-O2",)
# For this processor, with its vectors.
NATIVE = ("-O2", "-march=native")
_SECONDS = 900.0


def choices_of(folder: Path) -> tuple[str, str]:
    """What the names of a build's C sources begin with, and the core that they are for.

    Raises:
        UserError: its plan cannot be read.
    """
    try:
        plan = read_json(folder / C_PLAN_PATH)
        return str(plan["prefix"]), str(plan["mcu"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "the plan of the C sources cannot be read",
            where=str(folder / C_PLAN_PATH),
            why=str(error),
            do="run `qdeploy export` again",
        ) from error


def program_in(folder: Path, graph: IntegerGraph) -> Program:
    """What the C sources of a build were made from.

    Raises:
        UserError: its plan cannot be read.
    """
    _, mcu = choices_of(folder)
    optimize = str(read_json(folder / C_PLAN_PATH).get("optimize", BALANCED))
    return program_of(graph, load_choices(optimize, mcu))


def budgets_in(folder: Path) -> Budgets:
    """What a build's network may take.

    Raises:
        UserError: its plan cannot be read.
    """
    choices_of(folder)
    plan = read_json(folder / C_PLAN_PATH)
    return Budgets(plan.get("flash_budget"), plan.get("ram_budget"))


def compile_native(
    program: Program,
    sources: Path,
    folder: Path,
    name: str,
    flags: Sequence[str] = OPTIMIZED,
    *,
    taps: Sequence[str] | None = None,
) -> Path:
    """Compile the sources with a main function that takes frames from a file.

    Args:
        sources: the folder `c` of a build, whose plan lies in it.
        folder: for the program, its header and the compiler's log.
        name: of the program.
        flags: of gcc, beside the standard and its warnings.
        taps: boundaries that it writes; all when None.

    Raises:
        ToolMissingError: gcc is not installed.
        UserError: the plan cannot be read.
        VerificationError: the sources do not compile, or with a warning.
    """
    gcc, binary = find_tool("gcc"), folder / name
    prefix, _ = choices_of(sources.parent)
    write_text(folder / "taps.h", taps_header(program, prefix, taps))
    command: list[str | Path] = [
        gcc,
        *STANDARD,
        *flags,
        *("-I", str(folder), "-I", str(sources)),
        *(str(resource("export/c/checks/host.c")), str(sources / "weights.c")),
        *("-o", str(binary)),
    ]
    try:
        run_tool(command, folder, folder / f"{name}.log", _SECONDS)
    except ToolFailedError as error:
        raise VerificationError(
            "the C sources do not compile", where=str(sources), why=error.why
        ) from error
    return binary


def run_native(
    program: Program,
    binary: Path,
    frames: IntArray,
    taps: Sequence[str] | None = None,
    *,
    number: int = 0,
) -> dict[str, Narrow]:
    """Codes of the boundaries that a program writes, (frames, *shape), in its own types.

    Args:
        binary: as `compile_native` makes it, for the same `taps`.
        frames: (N, *input shape of the graph).
        number: of this run among those that go on at one time in the folder.

    Raises:
        VerificationError: it fails, or writes another number of codes.
    """
    folder = binary.parent
    given, taken = folder / f"frames{number}.bin", folder / f"taps{number}.bin"
    given.write_bytes(input_bytes(program, frames))
    try:
        run_tool([binary, given, taken], folder, folder / f"run{number}.log", _SECONDS)
        return tapped(program, taken.read_bytes(), len(frames), taps)
    except (ToolFailedError, ValueError) as error:
        raise VerificationError(
            f"the C sources fail when they run ({binary.name} build)",
            why=getattr(error, "why", None) or str(error),
            do="report this: no frame should make them",
        ) from error
    finally:
        given.unlink(missing_ok=True)
        taken.unlink(missing_ok=True)
