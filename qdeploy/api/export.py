"""`qdeploy.export` and `qdeploy.verify`: the commands of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

from qdeploy.api.builds import AnyBuild, folder_of
from qdeploy.build.build import Build, build, default_folder
from qdeploy.build.module_source import ModuleSource, given_frames
from qdeploy.build.observer import SILENT_BUILD, BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify as verify_again
from qdeploy.build_folder import QONNX_FILE
from qdeploy.devices.boards import load_board
from qdeploy.errors import UserError
from qdeploy.report.html import write_build_report
from qdeploy.targets.registry import TARGETS

if TYPE_CHECKING:
    from torch import nn


class ExportOptions(TypedDict, total=False):
    """Further options of a build, as `qdeploy.build.options.Options` describes them."""

    fps: float | None
    folding: Path | None
    clock_mhz: float | None
    max_lut: int | None
    max_bram36: int | None
    max_dsp: int | None
    argmax: bool
    frames: int
    rtl_frames: int
    stall: float
    seed: int
    require: tuple[str, ...]
    skip: tuple[str, ...]
    synthesis: bool
    place_and_route: str | None
    fifo_depths: str
    data: Path | None
    input: str | None
    frames_from: Path | None
    labels: Path | None
    class_names: Path | None
    output: str | None
    cache: Path | None
    runtime_weights: bool
    mcu: str
    optimize: str
    prefix: str
    max_flash: int | None
    max_ram: int | None


def export(
    source: nn.Module | Path | str,
    *,
    target: str = "pynq",
    board: str | None = None,
    out: Path | str | None = None,
    x: Any = None,
    y: Any = None,
    name: str | None = None,
    force: bool = False,
    observer: BuildObserver = SILENT_BUILD,
    **options: Unpack[ExportOptions],
) -> Build:
    """Make a verified accelerator package, as the command `qdeploy export` does.

    Args:
        source: a quantized module, the folder of a run, or a QONNX or QCDQ file.
        target: what the package is for: `pynq`, `ip`, or another that is installed.
        board: name, or path of a board's file; the target's default when None.
        out: build folder; `build/NAME-BOARD` when None.
        x: frames to verify a module with, real numbers as the module takes them, (N, ...); random
            ones when None. Runs and files have frames of their own.
        y: their labels, (N,): the accuracy of the integers goes into the build.
        name: of a module's network; the name of its class when None.
        force: replace the build of another source.
        observer: hears of steps, rungs and notes; nothing is printed.
        options: what `qdeploy export --help` describes, such as `fps=2000.0`, `argmax=True`,
            `synthesis=False`, `skip=("netlist",)`.

    Returns:
        The build: its `folder`, and `rungs`, what each level of the ladder found.

    Raises:
        UserError: the module is a float one, or anything else that can be fixed.
        DoesNotFitError: the design is larger than the board.
        VerificationError: a level that must be exact is not; the build is kept.

    Example:
        >>> import torch, qdeploy
        >>> net = qdeploy.quantize(torch.nn.Linear(16, 3), 4, torch.rand(8, 16))
        >>> build = qdeploy.export(
        ...     net, out="build/net", synthesis=False, fifo_depths="analytic", frames=16
        ... )
        >>> [rung.name for rung in build.rungs if rung.mismatches]
        []
    """
    made: dict[str, Any] = {"target": target, "board": board, **options}
    if isinstance(source, str | Path):
        if x is not None or y is not None or name is not None:
            raise UserError(
                "`x`, `y` and `name` are for modules",
                why=f"`{source}` is a run or a file",
                do="leave them out; frames for a file: frames_from=, labels=",
            )
        path, opened = Path(source), None
    else:
        given = None if x is None else given_frames(x, y)
        if y is not None and given is None:
            raise UserError("there are labels, and no frames that they are of", do="give `x=`")
        opened = ModuleSource(source, name, given)
        chosen = TARGETS.load(target)
        wanted = board or chosen.default_board
        folder = default_folder(opened.name, chosen, None if wanted is None else load_board(wanted))
        out = out or folder
        # A module has no path of its own: what can be found again is the file of the build.
        path = Path(out) / QONNX_FILE
    result = build(
        Options(source=path, **made),
        None if out is None else Path(out),
        observer,
        opened,
        force=force,
        finish=write_build_report,
    )
    if result.failure is not None:
        raise result.failure
    return result


def verify(
    build: AnyBuild,
    *,
    frames: int | None = None,
    rtl_frames: int | None = None,
    require: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    seed: int = 0,
    package: bool = False,
    observer: BuildObserver = SILENT_BUILD,
) -> Build:
    """Run the ladder again on a build, as the command `qdeploy verify` does.

    Args:
        build: what `export` returned, or a build folder.
        frames, rtl_frames: as built when None; never more than the build has.
        require, skip: rungs that must run or are left out.
        seed: of the stalls in RTL simulation.
        package: make the package again and compare it.
        observer: hears of steps and rungs; nothing is printed.

    Returns:
        The build with what each level found.

    Raises:
        UserError: the folder holds no build.
        VerificationError: a level that must be exact is not, or a file is not the one that was
            made.

    Example:
        >>> import torch, qdeploy
        >>> net = qdeploy.quantize(torch.nn.Linear(16, 3), 4, torch.rand(8, 16))
        >>> build = qdeploy.export(
        ...     net, out="build/net", synthesis=False, fifo_depths="analytic", frames=16
        ... )
        >>> again = qdeploy.verify("build/net", skip=("rtl", "layer"))
        >>> {rung.name: rung.mismatches for rung in again.rungs}["dataflow"]
        0
    """
    result = verify_again(
        folder_of(build),
        frames=frames,
        rtl_frames=rtl_frames,
        require=require,
        skip=skip,
        seed=seed,
        package=package,
        observer=observer,
    )
    write_build_report(result.folder)
    if result.failure is not None:
        raise result.failure
    return result
