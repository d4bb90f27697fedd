"""`qdeploy ci init`: a workflow that trains, builds, proves and checks a network on a CI server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from qdeploy.cli.amounts import Amount, AmountType
from qdeploy.cli.choices import BOARD
from qdeploy.cli.limits import DEFAULT_BOARD
from qdeploy.errors import UserError

# Server -> template, and where its workflows are.
SERVERS = {
    "github": ("export/ci/github.yml.in", Path(".github/workflows/qdeploy.yml")),
    "gitlab": ("export/ci/gitlab.yml.in", Path(".gitlab-ci.yml")),
}
# What needs no quotes in YAML, in a shell and in an expression of a workflow.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+=-]*")
_PACKAGE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._/+=<>~@:\[\]-]*")


@click.group()
def ci() -> None:
    """Continuous integration of networks."""


@ci.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--github", "server", flag_value="github", help="Write a GitHub Actions workflow.")
@click.option("--gitlab", "server", flag_value="gitlab", help="Write a GitLab pipeline.")
@click.option(
    "--board", type=BOARD, default=DEFAULT_BOARD, show_default=True, help="Board to build for."
)
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Frames per second.")
@click.option("--max-lut", type=AmountType(), help="LUTs: a number, or a share as 20%.")
@click.option("--min-accuracy", metavar="SHARE", help="Least accuracy, such as 95%.")
@click.option("--min-miou", metavar="SHARE", help="Likewise, of segmentation.")
@click.option("--min-r2", type=float, help="Least R² of predicted numbers.")
@click.option("--max-mae", type=float, help="Largest mean absolute error of predicted numbers.")
@click.option("--baseline", metavar="FILE", help="Baseline that builds are held to.")
@click.option("--package", default="qdeploy", show_default=True, help="What pip installs.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File [the server's].")
@click.option("--force", is_flag=True, help="Replace the file.")
def init(
    recipe: Path,
    server: str | None,
    board: str,
    fps: float | None,
    max_lut: Amount | None,
    min_accuracy: str | None,
    min_miou: str | None,
    min_r2: float | None,
    max_mae: float | None,
    baseline: str | None,
    package: str,
    out: Path | None,
    force: bool,
) -> None:
    """Write a workflow for RECIPE, a file of the repository or a name that `qdeploy recipes` lists.

    It installs, restores caches, trains or loads the run, exports, verifies, checks, and posts the
    ladder.
    """
    if server is None:
        raise click.UsageError("say for which server: --github or --gitlab")
    from qdeploy.artifacts import write_text
    from qdeploy.devices.boards import load_board
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.recipe.shipped import recipe_file
    from qdeploy.targets.template import filled

    template, usual = SERVERS[server]
    target = usual if out is None else out
    if target.exists() and not force:
        raise UserError(
            f"`{target}` exists already", do="look at it, then give --force, or --out for another"
        )
    for what, text in (("recipe", str(recipe)), ("board", board), ("baseline", baseline or "b")):
        _check_plain(what, text, _PLAIN)
    _check_plain("package", package, _PACKAGE)
    name = load_recipe(recipe_file(recipe)).name
    load_board(board)
    run, build = f"runs/{name}", f"build/{name}"
    train = ["train", str(recipe), "--out", run, "--resume", "--no-estimate"]
    export = ["export", run, "--board", board, "--out", build, "--require", "rtl", "--force"]
    check = ["check", build, "--junit", "qdeploy-junit.xml", "--summary", "qdeploy-summary.md"]
    if fps is not None:
        export += ["--fps", f"{fps:g}"]
        check += ["--min-fps", f"{fps:g}"]
    if max_lut is not None:
        amount = f"{max_lut[0]:g}{'%' if max_lut[1] else ''}"
        export += ["--max-lut", amount]
        check += ["--max-lut", amount]
    for option, share in (("--min-accuracy", min_accuracy), ("--min-miou", min_miou)):
        check += [] if share is None else [option, _share(share, option)]
    for option, number in (("--min-r2", min_r2), ("--max-mae", max_mae)):
        check += [] if number is None else [option, f"{number:g}"]
    check += [] if baseline is None else ["--against", baseline]
    words = {"train": train, "export": export, "check": check}
    commands = {key: shlex.join(["qdeploy", *value]) for key, value in words.items()}
    fields = {"recipe": recipe.as_posix(), "run": run, "build": build, "package": package}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, filled(template, {**fields, **commands}))
    click.echo(f"{target} is written: look at it and commit it")


def _check_plain(what: str, text: str, pattern: re.Pattern[str]) -> None:
    if pattern.fullmatch(text) is None or ".." in text.split("/"):
        raise UserError(
            f"the {what} `{text}` cannot be named in a workflow",
            why="a workflow, its shell and its expressions have signs of their own, and its paths "
            "are those of the repository",
            do="use letters, digits and . _ / + = - from the repository's top folder",
        )


def _share(text: str, option: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?%?", text) is None:
        raise UserError(f"`{text}` is no share such as 0.95 or 95%", where=option)
    return text
