"""`qdeploy targets`: what a network can be exported to, and what each target needs."""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

import click

from qdeploy.targets.registry import TARGETS
from qdeploy.targets.target import Target
from qdeploy.tools import have_tool, tool_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def targets(as_json: bool) -> None:
    """List the targets of `qdeploy export`: what each needs, and whether it is installed."""
    found = [_record(name, TARGETS.load(name)) for name in TARGETS.names()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console

    from qdeploy.report.tables import print_table

    rows = [
        (
            target["name"] if first else "",
            target["summary"] if first else "",
            need["name"],
            need["purpose"],
            "installed" if need["installed"] else need["install"],
        )
        for target in found
        for first, need in _marked(target["needs"] or [_NOTHING])
    ]
    print_table("Targets", ("target", "for", "needs", "to", "state"), rows, console=Console())


_NOTHING = {"name": "", "purpose": "", "installed": True, "install": ""}


def _marked(needs: list[dict[str, Any]]) -> list[tuple[bool, dict[str, Any]]]:
    return [(number == 0, need) for number, need in enumerate(needs)]


def _record(name: str, target: Target) -> dict[str, Any]:
    needs = [_package(one) for one in target.packages] + [_tool(one) for one in target.tools]
    return {
        "name": name,
        "summary": target.summary,
        "boards": target.default_board is not None,
        "rungs": list(target.rungs),
        "needs": needs,
        "complete": all(one["installed"] for one in needs),
    }


def _tool(name: str) -> dict[str, Any]:
    tool = tool_of(name)
    return {
        "name": name,
        "purpose": tool.purpose,
        "installed": have_tool(name),
        "install": tool.remedy,
    }


def _package(name: str) -> dict[str, Any]:
    try:
        importlib.metadata.version(name)
        installed = True
    except importlib.metadata.PackageNotFoundError:
        installed = False
    return {
        "name": name,
        "purpose": "making hardware of a network",
        "installed": installed,
        "install": "pip install 'qdeploy[fpga]'",
    }
