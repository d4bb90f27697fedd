"""`qdeploy check`: a build against limits and a baseline, for continuous integration."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.amounts import Amount, AmountType
from qdeploy.cli.limits import limit_options
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from qdeploy.report.checks import Check
    from qdeploy.report.figures import Measured


class _Share(click.ParamType[float]):
    """`0.95`, or `95%`."""

    name = "SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"`{value}` is no share such as 0.95 or 95%")
        return share


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--min-accuracy", type=_Share(), help="Of the integers on the test set: 0.95, 95%.")
@click.option("--min-balanced-accuracy", type=_Share(), help="Likewise, the mean recall.")
@click.option("--min-miou", type=_Share(), help="Likewise, of segmentation.")
@click.option("--min-r2", type=float, help="R² of predicted numbers, the mean over the targets.")
@click.option("--max-mae", type=float, help="Mean absolute error, in the targets' units.")
@click.option("--min-fps", type=float, help="Frames per second, measured in RTL simulation.")
@click.option("--max-latency", type=float, metavar="US", help="Microseconds, likewise.")
@limit_options
@click.option("--max-ff", type=AmountType(), help="Flip-flops, likewise.")
@click.option("--max-flash", type=int, metavar="BYTES", help="Of a network in C, on its core.")
@click.option("--max-ram", type=int, metavar="BYTES", help="Likewise, with the stack.")
@click.option("--against", type=click.Path(path_type=Path), help="Baseline that it is held to.")
@click.option(
    "--slack", type=_Share(), default=0.0, help="How much worse than the baseline it may be: 2%."
)
@click.option(
    "--write-baseline", type=click.Path(path_type=Path, dir_okay=False), help="Keep its figures."
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML.")
@click.option(
    "--summary", type=click.Path(path_type=Path, dir_okay=False), help="Write a page of Markdown."
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def check(
    build: Path,
    min_accuracy: float | None,
    min_balanced_accuracy: float | None,
    min_miou: float | None,
    min_r2: float | None,
    max_mae: float | None,
    min_fps: float | None,
    max_latency: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
    max_ff: Amount | None,
    max_flash: int | None,
    max_ram: int | None,
    against: Path | None,
    slack: float,
    write_baseline: Path | None,
    junit: Path | None,
    summary: Path | None,
    as_json: bool,
) -> None:
    """Hold BUILD to limits, and to the figures of an earlier build of the same network.

    Its files have to be those that were made, and every rung of its ladder that ran has to be
    exact. Nothing is built or simulated. The exit code is 1 where something does not hold.
    """
    from qdeploy.build.digests import check_files
    from qdeploy.report.check_files import write_junit, write_summary
    from qdeploy.report.checks import Limits, check_build, failed, read_baseline
    from qdeploy.report.checks import write_baseline as write
    from qdeploy.report.figures import BUILD, measured

    found = measured(build)
    if found.kind != BUILD:
        raise UserError(f"`{build}` is a run, not a build", do="give what `qdeploy export` made")
    least = {
        "accuracy": min_accuracy,
        "balanced_accuracy": min_balanced_accuracy,
        "miou": min_miou,
        "r2": min_r2,
        "fps": min_fps,
    }
    asked = {"lut": max_lut, "ff": max_ff, "bram36": max_bram, "dsp": max_dsp}
    most = {kind: _amount(found, kind, amount) for kind, amount in asked.items()}
    most |= {"latency_cycles": _cycles(found, max_latency), "mae": max_mae}
    most |= {"flash_bytes": max_flash, "ram_bytes": max_ram}
    damage = check_files(build).error()
    checks = check_build(
        found,
        Limits(_given(least), _given(most)),
        None if against is None else read_baseline(against, found),
        slack=slack,
        damage=None if damage is None else damage.what,
    )
    for path in filter(None, (junit, summary, write_baseline)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if junit is not None:
        write_junit(found, checks, junit)
    if summary is not None:
        write_summary(found, checks, summary)
    missed = failed(checks)
    if write_baseline is not None and not missed:
        write(found, write_baseline)
    if as_json:
        data = {"build": str(build), "passed": not missed, "figures": found.figures}
        click.echo(json.dumps({**data, "checks": [asdict(one) for one in checks]}, indent=2))
    else:
        _print(found, checks, None if missed else write_baseline)
    if missed:
        raise click.exceptions.Exit(1)


def _given(bounds: dict[str, float | None]) -> dict[str, float]:
    return {key: bound for key, bound in bounds.items() if bound is not None}


def _amount(found: Measured, kind: str, amount: Amount | None) -> float | None:
    """A limit as a number; a share is of what the part has."""
    if amount is None:
        return None
    number, is_share = amount
    if not is_share:
        return number
    has = (found.available or {}).get(kind)
    if has is None:
        raise UserError(
            f"a share of the {kind.upper()}s has no meaning for `{found.folder}`",
            why="the build was not synthesized, so nothing says what its part has",
            do="export it with synthesis, or give a number",
        )
    return number * has / 100


def _cycles(found: Measured, microseconds: float | None) -> float | None:
    """A latency in cycles of the build's clock."""
    if microseconds is None:
        return None
    clock = found.figures.get("clock_mhz")
    if clock is None:
        return 0.0  # there is no latency either, which is what will be said
    return microseconds * clock


def _print(found: Measured, checks: list[Check], baseline: Path | None) -> None:
    from rich.console import Console

    from qdeploy.report.check_files import WORDS
    from qdeploy.report.checks import failed
    from qdeploy.report.tables import print_table

    console = Console()
    rows = [(c.name, c.found, c.wanted, WORDS[c.passed], c.detail) for c in checks]
    head = ("check", "found", "wanted", "result", "")
    print_table(f"Checks of {found.folder}", head, rows, console=console)
    missed = len(failed(checks))
    lines = [f"{missed} of {len(checks)} checks FAILED" if missed else "all checks hold"]
    if baseline is not None:
        lines.append(f"Baseline: {baseline}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
