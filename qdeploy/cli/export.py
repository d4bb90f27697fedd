"""`qdeploy export`: a trained run or a QONNX file becomes a verified package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli import progress
from qdeploy.cli.choices import BOARD, RUNG, TARGET
from qdeploy.cli.data_option import data_option
from qdeploy.cli.limits import limit_options, limits_of

if TYPE_CHECKING:
    from qdeploy.build.observer import BuildObserver
    from qdeploy.cli.amounts import Amount


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--target", type=TARGET, default="pynq", show_default=True, help="What the package is for."
)
@click.option("--board", type=BOARD, help="Board to fit [the target's; pynq: pynq-z2].")
@click.option("--out", type=click.Path(path_type=Path), help="Build folder [build/NAME-BOARD].")
@click.option("--fps", type=float, help="Frames per second to fold for [as fast as fits].")
@click.option(
    "--folding",
    type=click.Path(path_type=Path),
    help="Folding file: PE, SIMD and styles of single layers [all solved for].",
)
@click.option("--clock", "clock_mhz", type=float, help="Clock in MHz [the board's].")
@limit_options
@click.option(
    "--runtime-weights",
    is_flag=True,
    help="Load weights and thresholds at run time: one bitstream for retrained networks.",
)
@click.option(
    "--mcu", default="host", show_default=True, help="Target c: core, such as cortex-m0plus."
)
@click.option(
    "--optimize",
    default="balanced",
    show_default=True,
    help="Target c: speed, flash, ram.",
)
@click.option(
    "--prefix", default="network", show_default=True, help="Target c: what names in C begin with."
)
@click.option("--flash", type=click.IntRange(1), help="Target c: bytes that constants may take.")
@click.option("--ram", type=click.IntRange(1), help="Target c: bytes that the arena may take.")
@click.option("--argmax", is_flag=True, help="Put out the class instead of the logits.")
@click.option(
    "--frames", default=1000, show_default=True, type=click.IntRange(1), help="Frames to verify."
)
@click.option(
    "--rtl-frames",
    default=100,
    show_default=True,
    type=click.IntRange(2),
    help="How many of them run in RTL simulation.",
)
@click.option(
    "--stall",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 0.95),
    help="Chance of a stall per cycle of RTL simulation.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of stalls and random frames.")
@click.option(
    "--require", multiple=True, type=RUNG, help="Fail when this rung cannot run; repeatable."
)
@click.option(
    "--skip",
    multiple=True,
    type=RUNG,
    help="Leave this rung out; repeatable. `netlist` takes `netlist layer` along.",
)
@click.option(
    "--place-and-route",
    metavar="FAMILY",
    help="Place and route the whole design for another part, ecp5: minutes, needs nextpnr.",
)
@click.option("--no-synthesis", is_flag=True, help="Leave Yosys and the resource figures out.")
@click.option(
    "--fifo-depths",
    type=click.Choice(["simulated", "analytic"]),
    default="simulated",
    show_default=True,
    help="Depths of FIFOs from RTL simulation, or from the skews of branches alone.",
)
@click.option(
    "--input",
    "input_type",
    metavar="TYPE[:SCALE[:ZERO]]",
    help="Integers a file's input is made of, such as uint8:1/255: x = SCALE x (raw - ZERO).",
)
@click.option("--output", metavar="NAME", help="The one of a file's several outputs to build.")
@click.option(
    "--frames-from",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Frames for a file: .npz, .npy, or a folder of PNG or .npy [random ones].",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Their labels, .npy or .csv: the accuracy of the file's network.",
)
@click.option(
    "--class-names", type=click.Path(path_type=Path), help="Names of the classes, one a line."
)
@data_option("Folder of the data sets [$QDEPLOY_DATA].")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    envvar="QDEPLOY_CACHE",
    help="Folder of results stored by content [.cache beside the build; $QDEPLOY_CACHE].",
)
@click.option("--force", is_flag=True, help="Replace the build of another source or recipe.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    source: Path,
    target: str,
    board: str | None,
    out: Path | None,
    fps: float | None,
    folding: Path | None,
    clock_mhz: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
    runtime_weights: bool,
    mcu: str,
    optimize: str,
    prefix: str,
    flash: int | None,
    ram: int | None,
    argmax: bool,
    frames: int,
    rtl_frames: int,
    stall: float,
    seed: int,
    require: tuple[str, ...],
    skip: tuple[str, ...],
    place_and_route: str | None,
    no_synthesis: bool,
    fifo_depths: str,
    input_type: str | None,
    output: str | None,
    frames_from: Path | None,
    labels: Path | None,
    class_names: Path | None,
    data: Path | None,
    cache: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Turn SOURCE, a run folder or a QONNX file, into a verified accelerator package.

    Every step is checked; the exit code is 1 when a rung of the ladder that must be exact is not.
    """
    from qdeploy.build.build import build
    from qdeploy.build.options import Options
    from qdeploy.report.html import write_build_report

    options = Options(
        source=source,
        target=target,
        board=board,
        fps=fps,
        folding=folding,
        clock_mhz=clock_mhz,
        **_limits(target, board, max_lut, max_bram, max_dsp),
        argmax=argmax,
        frames=frames,
        rtl_frames=rtl_frames,
        stall=stall,
        seed=seed,
        require=require,
        skip=skip,
        synthesis=not no_synthesis,
        place_and_route=place_and_route,
        fifo_depths=fifo_depths,
        data=data,
        input=input_type,
        output=output,
        frames_from=frames_from,
        labels=labels,
        class_names=class_names,
        cache=cache,
        runtime_weights=runtime_weights,
        mcu=mcu,
        optimize=optimize,
        prefix=prefix,
        max_flash=flash,
        max_ram=ram,
    )
    result = build(options, out, observer(as_json), force=force, finish=write_build_report)
    conclude(result.folder, result.failure, as_json, source if source.is_dir() else None)


def _limits(target: str, board: str | None, *amounts: Amount | None) -> dict[str, int | None]:
    """The most of the board that the design may use, where the options say so."""
    if not any(amounts):
        return {}
    from qdeploy.devices.boards import load_board
    from qdeploy.targets.registry import TARGETS

    name = board or TARGETS.load(target).default_board
    return limits_of(None if name is None else load_board(name), *amounts)


def observer(quiet: bool) -> BuildObserver:
    """Prints each step with its time and result, and each rung; none of them when `quiet`.

    Notes, meters and warnings go to standard error either way.
    """
    from rich.console import Console

    from qdeploy.build.observer import BuildObserver
    from qdeploy.cli.build_progress import BuildProgress

    if quiet:
        return BuildObserver(note=progress.say, meter=progress.meter, warning=progress.warn)
    shown = BuildProgress(Console())
    return BuildObserver(
        note=progress.say,
        meter=progress.meter,
        warning=progress.warn,
        stage=shown.start,
        done=shown.done,
        rung_starts=lambda name: shown.start(f"rung {name}"),
        rung=shown.rung,
        failed=shown.failed,
    )


def conclude(folder: Path, failure: Exception | None, as_json: bool, run: Path | None) -> None:
    """Print the summary of a build, then raise what its ladder found, if anything."""
    from rich.console import Console

    from qdeploy.build_folder import read_record
    from qdeploy.report.summary import print_summary

    if as_json:
        names = ("build", "verify", "resources", "performance", "fifos", "timing")
        found = {name: read_record(folder / f"{name}.json", dict[str, Any]) for name in names}
        there = {name: record for name, record in found.items() if record is not None}
        click.echo(json.dumps({"folder": str(folder), **there}, indent=2))
    else:
        print_summary(folder, Console(), run)
    if failure is not None:
        raise failure
