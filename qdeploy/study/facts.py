"""The papers' figures: csv files in the repository, each with its source.

    # source: Boo, Shin & Sung 2020, table 4
    network,variant,measure,value
    resnet20,float,accuracy,92.42

Lines that begin with # are for people; one of them names the source. Values are in the units of the
measures: percent, KiB, LUTs, frames/s.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from qdeploy.bounded import is_named_file, read_bounded
from qdeploy.errors import StudyError
from qdeploy.resources import resource

HEAD = ["network", "variant", "measure", "value"]
_FOLDER = "models/studies/facts"
_MOST = 1 << 20


@dataclass(frozen=True)
class Facts:
    """Figures by (network, variant, measure), and where they are from."""

    source: str = ""
    values: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def get(self, network: str, variant: str, measure: str) -> float | None:
        """The paper's figure, None where it has none."""
        return self.values.get((network, variant, measure))


def read_facts(name: str | None, beside: Path) -> Facts:
    """The facts of a study.

    Args:
        name: of a file beside the study, or of one that comes with qdeploy; None for none.
        beside: the study's file.

    Raises:
        StudyError: there is no such file, or a line is wrong.
    """
    if name is None:
        return Facts()
    path = beside.parent / name
    if not is_named_file(path):
        path = resource(_FOLDER) / name
    try:
        lines = read_bounded(path, _MOST).splitlines()
    except (OSError, ValueError) as error:
        do = "name a file beside the study, or remove the key"
        raise StudyError(
            f"the facts `{name}` cannot be read", where=str(beside), why=str(error), do=do
        ) from error
    sources = [one.partition(":")[2].strip() for one in lines if one.startswith("# source:")]
    if not sources:
        do = "add a line: # source: paper, table"
        raise StudyError(f"the facts `{name}` name no source", where=str(path), do=do)
    numbered = [(n, one) for n, one in enumerate(lines, 1) if one and not one.startswith("#")]
    rows = list(csv.reader(one for _, one in numbered))
    if not rows or rows[0] != HEAD:
        do = f"begin the table with {','.join(HEAD)}"
        raise StudyError(f"the facts `{name}` have other columns", where=str(path), do=do)
    values: dict[tuple[str, str, str], float] = {}
    for (number, _), row in zip(numbered[1:], rows[1:], strict=True):
        where = f"{path}:{number}"
        try:
            network, variant, measure, text = row
            value = float(text)
        except ValueError as error:
            do = "write network,variant,measure,number"
            raise StudyError("a line of facts is wrong", where=where, do=do) from error
        if not math.isfinite(value) or (network, variant, measure) in values:
            do = "give one finite number for each network, variant and measure"
            raise StudyError("a fact is no number, or there twice", where=where, do=do)
        values[network, variant, measure] = value
    return Facts("; ".join(sources), values)
