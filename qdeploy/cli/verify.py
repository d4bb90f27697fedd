"""`qdeploy verify`: the same frames through every level of an existing build."""

from __future__ import annotations

from pathlib import Path

import click

from qdeploy.cli.choices import RUNG
from qdeploy.cli.export import conclude, observer


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), help="Frames to verify [as built].")
@click.option("--rtl-frames", type=click.IntRange(2), help="Of these, in RTL [as built].")
@click.option("--seed", default=0, show_default=True, help="Seed of the stalls.")
@click.option(
    "--require", multiple=True, type=RUNG, help="Fail when this rung cannot run; repeatable."
)
@click.option(
    "--skip",
    multiple=True,
    type=RUNG,
    help="Leave this rung out; repeatable. `netlist` takes `netlist layer` along.",
)
@click.option("--package", is_flag=True, help="Make the package again and compare it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(
    build: Path,
    frames: int | None,
    rtl_frames: int | None,
    seed: int,
    require: tuple[str, ...],
    skip: tuple[str, ...],
    package: bool,
    as_json: bool,
) -> None:
    """Run the ladder on BUILD, a folder made by `qdeploy export`, and rewrite its verify.json.

    The exit code is 1 when a rung that must be exact is not, and when a file of the build, its run
    or its package is not the one that was made.
    """
    from qdeploy.build.reverify import verify as run
    from qdeploy.report.html import write_build_report

    result = run(
        build,
        frames=frames,
        rtl_frames=rtl_frames,
        require=require,
        skip=skip,
        seed=seed,
        package=package,
        observer=observer(as_json),
    )
    write_build_report(result.folder)
    conclude(result.folder, result.failure, as_json, None)
