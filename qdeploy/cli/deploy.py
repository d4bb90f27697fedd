"""`qdeploy deploy`: a package onto a board, and its self-test there."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.argument("target", metavar="USER@BOARD")
@click.option("--folder", metavar="PATH", help="Folder on the board.  [qdeploy/NAME in the home]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the board's ssh.")
@click.option("--identity", type=click.Path(path_type=Path), help="Private key for ssh.")
@click.option(
    "--ssh-option", "options", metavar="KEY=VALUE", multiple=True, help="More for ssh, as its -o."
)
@click.option("--selftest/--no-selftest", default=True, help="Run the self-test there.")
def deploy(
    build: Path,
    target: str,
    folder: str | None,
    port: int | None,
    identity: Path | None,
    options: tuple[str, ...],
    selftest: bool,
) -> int:
    """Copy the package of BUILD to a board and run its self-test there.

    USER@BOARD is what `ssh` takes. The package needs its bitstream (`make bitstream`). The test
    runs as root: deploy to root@BOARD, or to a login with sudo without password.
    """
    from qdeploy.targets.pynq.deploy import deploy as send

    done = send(
        build,
        target,
        folder=folder,
        port=port,
        identity=identity,
        options=options,
        selftest=selftest,
    )
    click.echo(f"{target}:{done.folder} has the package")
    report = done.report
    if report is None:
        return 0
    if done.passed:
        click.echo(f"self-test passed: {report['frames']} frames, {report['codes']:,} integers")
        return 0
    wrong = {name: count for name, count in report.items() if name.endswith("_mismatches")}
    click.echo("self-test FAILED: " + ", ".join(f"{count} {name}" for name, count in wrong.items()))
    click.echo(f"first difference: {report.get('first')}")
    return 1
