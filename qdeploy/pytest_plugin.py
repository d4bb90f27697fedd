"""pytest with builds: what a project's own tests need to hold its accelerators to what they were.

    qdeploy_build(source, **options)   fixture: builds once for the same content; returns the build
    assert_bit_exact(build, rungs)     fixture: its ladder holds, and these rungs ran
    qdeploy_rung(name)                 marker: needs this rung; skipped where that is left out

`pytest --qdeploy-skip netlist` leaves rungs out: of builds, and tests marked with them. A project
that uses none of it pays for the import of this file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qdeploy.report.figures import Measured

CACHE = "qdeploy"
MARKER = "qdeploy_rung"
BuildFixture = Callable[..., "Measured"]
ExactFixture = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--qdeploy-skip`."""
    parser.getgroup("qdeploy").addoption(
        "--qdeploy-skip",
        action="append",
        default=[],
        metavar="RUNG",
        help="leave this rung out of builds, and tests that need it; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARKER}(name): needs this rung of qdeploy's ladder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests whose rung is left out."""
    left_out = set(config.getoption("--qdeploy-skip"))
    if "netlist" in left_out:
        left_out.add("netlist layer")
    for item in items:
        for marker in item.iter_markers(MARKER):
            if missing := left_out.intersection(marker.args):
                reason = f"the rung `{min(missing)}` is left out with --qdeploy-skip"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def qdeploy_build(request: pytest.FixtureRequest) -> BuildFixture:
    """Builds a run folder or a file: `qdeploy_build(source, board="pynq-z1", fps=10_000)`.

    Options are those of `qdeploy.build.options.Options`. A build is kept in pytest's cache, and is
    made again where the source's content, an option or qdeploy's version is another;
    `pytest --cache-clear` removes all of them.
    """
    assert request.config.cache is not None
    folder = request.config.cache.mkdir(CACHE)
    skip = tuple(request.config.getoption("--qdeploy-skip"))

    def made(source: str | Path, **options: Any) -> Measured:
        from qdeploy.build.build import build
        from qdeploy.build.options import Options
        from qdeploy.report.figures import measured

        path = Path(source).resolve()
        given = {**options, "skip": (*options.get("skip", ()), *skip)}
        out = folder / _key(path, given)
        if not (out / "build.json").is_file():
            build(Options(path, cache=folder / "parts", **given), out)
        return measured(out)

    return made


@pytest.fixture(scope="session")
def assert_bit_exact() -> ExactFixture:
    """`assert_bit_exact(build, rungs=("int", "rtl"))`: its files are those that were made, no rung
    found a difference, and `rungs` ran. `build` is of `qdeploy_build`, or a build folder."""

    def checked(build: Measured | str | Path, rungs: tuple[str, ...] = ("int",)) -> None:
        __tracebackhide__ = True
        from qdeploy.build.digests import check_files
        from qdeploy.report.figures import measured

        found = measured(Path(build)) if isinstance(build, str | Path) else build
        damage = check_files(found.folder).error()
        problems = [] if damage is None else [damage.what]
        ran = {str(one["name"]): one for one in found.rungs if not one.get("skipped")}
        for name, rung in ran.items():
            if not rung.get("passed", True):
                note = rung.get("refused") or rung.get("note") or ""
                differ = f"{rung.get('mismatches', 0):,} of {rung.get('codes', 0):,} differ"
                problems.append(f"rung {name}: {differ}; {note}".rstrip("; "))
        problems += [f"rung {name} has not run" for name in rungs if name not in ran]
        if problems:
            pytest.fail(f"{found.folder} is not bit-exact:\n" + "\n".join(problems), pytrace=False)

    return checked


def _key(path: Path, options: dict[str, Any]) -> str:
    """Name of a build: that of its source, and a digest of what it is made of."""
    from qdeploy import __version__
    from qdeploy.artifacts import sha256

    names = ("recipe.yaml", "model.safetensors", "model.json", "ensemble.json")
    files = [path / name for name in names] if path.is_dir() else [path]
    content = {one.name: sha256(one) for one in files if one.is_file()}
    facts = [__version__, str(path), content, {k: str(v) for k, v in options.items()}]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{path.name.split('.')[0]}-{digest[:16]}"
