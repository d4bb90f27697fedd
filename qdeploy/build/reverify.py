"""The ladder once more, on a build that exists: its own files, frames and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.build.build import Build
from qdeploy.build.digests import FilesCheck, check_files
from qdeploy.build.lost import lost_levels
from qdeploy.build.observer import SILENT_BUILD, BuildObserver
from qdeploy.build.options import Options, read_build_file, read_options, reading
from qdeploy.build.package_check import package_problems
from qdeploy.build.replace import locked_build
from qdeploy.build.source import open_source
from qdeploy.build_folder import (
    GRAPH_FILE,
    PACKAGE_FOLDER,
    PERFORMANCE_FILE,
    QONNX_FILE,
    VERIFY_FILE,
    read_performance,
)
from qdeploy.errors import QDeployError, UserError, VerificationError
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.registry import TARGETS
from qdeploy.verify.frames import check_frames, load_frames
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import check_choice, climb, failure
from qdeploy.verify.performance import difference
from qdeploy.verify.results import RungResult, anything_ran, write_verify

if TYPE_CHECKING:
    from torch import nn


def verify(
    folder: Path,
    *,
    frames: int | None = None,
    rtl_frames: int | None = None,
    require: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    seed: int = 0,
    package: bool = False,
    observer: BuildObserver = SILENT_BUILD,
) -> Build:
    """Run the ladder again on an existing build and rewrite its `verify.json`.

    Args:
        frames, rtl_frames: as built when None; never more than the build has.
        require, skip: rungs that must run or are left out.
        seed: of the stalls.
        package: compare the package with what the build gives, too.
        observer: is told about every step; nothing is printed.

    Returns:
        The build; its `failure` names files that are not those that were made, a run that is gone,
        rungs that do not hold, a package of something else.

    Raises:
        UserError: the folder holds no complete build; its target has no ladder; rungs are as
            `check_choice` does not take them.
        VerificationError: nothing can run: the networks, the frames or the manifest are not those
            that were made; `verify.json` then says that nothing is verified.
        LockedError: another process writes the folder.
    """
    check_choice(require, skip)
    read_options(folder)  # what is no build is refused before there is a lock beside it
    with observer.warnings(), locked_build(folder, "verify", observer.note):
        options = read_options(folder)
        files = check_files(folder)
        error = files.error()
        if error is not None and files.stops:
            if (folder / VERIFY_FILE).exists():  # what it says holds for other files
                write_verify(folder, [], sound=False, more=_more(files, None))
            raise error
        if files.unrecorded:
            observer.note(
                "note: the build is of an earlier version, without digests of "
                + ", ".join(f"`{name}`" for name in files.unrecorded)
            )
        target = TARGETS.load(options.target)
        rungs = target.rungs
        if not rungs:
            raise UserError(
                f"builds for the target `{options.target}` have no ladder to verify",
                where=str(folder),
            )
        with observer.during("read the build") as say:
            graph = _graph(folder, options)
            source = _source_record(folder)
            lost = lost_levels(folder, options)
            network = None if "torch" in (*skip, *lost) else _network(options.source)
            stored = load_frames(folder)
            check_frames(folder, stored, graph)
            verified = stored.first(frames or options.frames)
            most = max(frames or 0, rtl_frames or 0)
            if most > len(stored.codes):
                say(
                    f"{most:,} frames requested, using {len(stored.codes):,}: the build has no more"
                )
        inputs = LadderInputs(
            folder,
            graph,
            network,
            verified.codes,
            options.cache_of(folder),
            rtl_frames=rtl_frames or options.rtl_frames,
            stall=options.stall,
            seed=seed,
            observer=observer,
        )
        results, ended = _climbed(
            inputs, files, observer, rungs=rungs, require=require, skip=skip, lost=lost
        )
        problems: list[str] | None = None
        if package:
            with observer.during("package, made again from the build") as say:
                problems = package_problems(
                    folder,
                    target,
                    graph,
                    stored.first(options.frames),
                    rtl_frames=options.rtl_frames,
                    board=options.board,
                    source=source,
                )
                say("; ".join(problems) or "the same")
        built = min(options.rtl_frames, len(stored.codes))
        found = failure(results) or _of_performance(folder, results, built)
        if error is not None:
            found = _of_files(error, ended or found)
        found = found or _of_package(folder, problems) or _nothing_ran(results)
        write_verify(folder, results, sound=found is None, more=_more(files, problems))
    return Build(folder, results, found)


def _more(files: FilesCheck, problems: list[str] | None) -> dict[str, Any]:
    more: dict[str, Any] = {"files": files.record()}
    return more if problems is None else more | {"package": {"problems": problems}}


def _source_record(folder: Path) -> dict[str, Any]:
    """What `build.json` says of the source; nothing in older builds."""
    with reading(folder):
        return dict(read_build_file(folder).get("source", {}))


def _climbed(
    inputs: LadderInputs, files: FilesCheck, observer: BuildObserver, **choice: Any
) -> tuple[list[RungResult], QDeployError | None]:
    """The ladder; on files that have changed as far as it goes, and what ended it there."""
    results: list[RungResult] = []

    def report(result: RungResult) -> None:
        results.append(result)
        observer.rung(result)

    try:
        climb(inputs, report=report, starting=observer.rung_starts, **choice)
    except QDeployError as error:
        observer.failed("ladder")
        if not files.wrong:
            raise
        return results, error
    return results, None


def _of_files(error: VerificationError, ladder: QDeployError | None) -> VerificationError:
    """The failure that names the files, with what the ladder found on them as they are."""
    if ladder is None:
        return error
    shown = f" ({ladder.where})" if ladder.where else ""
    why = f"{error.why}; with these files {ladder.what}{shown}"
    return VerificationError(error.what, where=error.where, why=why, do=error.do)


def _of_performance(
    folder: Path, results: list[RungResult], built: int
) -> VerificationError | None:
    """The failure where as many frames as when the build was made take other cycles."""
    recorded = read_performance(folder)
    for rung in results:
        if recorded is None or rung.name != "rtl" or rung.skipped or rung.frames != built:
            continue
        if told := difference(recorded, rung):
            return VerificationError(
                f"the RTL takes {told}",
                where=str(folder / PERFORMANCE_FILE),
                why="the same frames took as many when the build was made",
                do="run `qdeploy export` again",
            )
    return None


def _of_package(folder: Path, problems: list[str] | None) -> VerificationError | None:
    if not problems:
        return None
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return VerificationError(
        f"the package is not that of this build: {problems[0]}{more}",
        where=str(folder / PACKAGE_FOLDER),
        why="what goes to the board would not be what was proven",
        do="run `qdeploy export` again",
    )


def _nothing_ran(results: list[RungResult]) -> VerificationError | None:
    if anything_ran(results):
        return None
    return VerificationError(
        "no rung of the ladder ran: nothing is verified", do="leave fewer rungs out with --skip"
    )


def _graph(folder: Path, options: Options) -> IntegerGraph:
    if (folder / GRAPH_FILE).is_file():
        return read_graph(folder / GRAPH_FILE)
    # Builds of before integer graphs were files: the QONNX file is what they were proven by.
    from qdeploy.lowering.integers.lower import lower

    return lower(folder / QONNX_FILE, argmax=options.argmax)


def _network(source: Path) -> nn.Module | None:
    if not source.is_dir():
        return None
    return open_source(source, None).network
