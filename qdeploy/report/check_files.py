"""Checks of a build for machines and for a page: JUnit XML and Markdown."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.report.checks import Check, failed
from qdeploy.report.figures import FIGURES, RESOURCES, Measured

SUITE = "qdeploy check"
WORDS = {True: "ok", False: "FAILED", None: "skipped"}


def write_junit(build: Measured, checks: Sequence[Check], path: Path) -> None:
    """One test case for each check, as CI servers read them."""
    missed = failed(checks)
    skipped = [check for check in checks if check.passed is None]
    suites = ElementTree.Element("testsuites")
    counts = {"tests": len(checks), "failures": len(missed), "errors": 0, "skipped": len(skipped)}
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": SUITE, **{key: str(count) for key, count in counts.items()}}
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"qdeploy.{_clean(build.name)}", name=_clean(check.name)
        )
        text = _clean(f"found {check.found}, wanted {check.wanted}. {check.detail}".strip())
        if check.passed is False:
            ElementTree.SubElement(case, "failure", message=text)
        elif check.passed is None:
            ElementTree.SubElement(case, "skipped", message=_clean(check.detail))
    ElementTree.indent(suites)
    body = ElementTree.tostring(suites, encoding="unicode", xml_declaration=False)
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n')


def write_summary(build: Measured, checks: Sequence[Check], path: Path) -> None:
    """One page of Markdown: the verdict, the figures, the checks."""
    missed = failed(checks)
    verdict = f"{len(missed)} of {len(checks)} checks FAILED" if missed else "all checks hold"
    where = f" on {build.board} ({build.part})" if build.part else ""
    lines = [f"# {_cell(build.name)}{where}: {verdict}", ""]
    rows = [
        (figure.title, figure.text(build.figures[key]), _share(build, key))
        for key, figure in FIGURES.items()
        if key in build.figures
    ]
    lines += [*_table(("figure", "value", "of the board"), rows), ""]
    found = [(c.name, c.found, c.wanted, WORDS[c.passed], c.detail) for c in checks]
    lines += _table(("check", "found", "wanted", "result", ""), found)
    write_text(path, "\n".join(lines) + "\n")


def _share(build: Measured, key: str) -> str:
    has = (build.available or {}).get(key)
    return f"{build.figures[key] / has:.1%}" if key in RESOURCES and has else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(_cell, line))} |" for line in lines]


def _cell(text: str) -> str:
    """Text that ends no cell and begins no markup of its own."""
    return _clean(text).replace("|", "\\|").replace("<", "&lt;")


def _clean(text: str) -> str:
    """Without what XML cannot hold, in one line."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
