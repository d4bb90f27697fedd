"""Where a build's codes first differ from the integers': the place and its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from qdeploy.build_folder import VERIFY_FILE
from qdeploy.build_records import DifferenceRecord, RungRecord, VerifyRecord
from qdeploy.errors import UserError


@dataclass(frozen=True)
class Difference:
    """The first difference of the first rung that fails.

    Args:
        rung: its name.
        note: its sentence.
        record: the place with its neighbours, None where the rung compares something else.
        cells: rows of (expected, actual) codes around it.
    """

    rung: str
    note: str
    record: DifferenceRecord | None
    cells: Sequence[Sequence[tuple[int, int]]] = ()

    @property
    def boundary(self) -> str:
        """The tensor that differs first, empty where it is not known."""
        return self.record["boundary"] if self.record else ""


def find_difference(verify: VerifyRecord) -> Difference | None:
    """The first difference of the first rung that fails, None where none does.

    Raises:
        UserError: the record of it is damaged.
    """
    for rung in verify.get("rungs", []):
        failed = not rung.get("passed", rung.get("mismatches", 0) == 0)
        if failed and not rung.get("skipped"):
            return _difference(rung)
    return None


def _difference(rung: RungRecord) -> Difference:
    note = rung.get("refused") or rung.get("note", "")
    found = rung.get("details", {}).get("first_difference")
    if found is None:
        return Difference(rung["name"], note, None)
    try:
        record = TypeAdapter(DifferenceRecord).validate_python(found, strict=True)
        around = record["around"]
        rows = zip(around["expected"], around["actual"], strict=True)
        cells = [list(zip(left, right, strict=True)) for left, right in rows]
    except (ValidationError, ValueError) as error:
        raise UserError(
            f"`{VERIFY_FILE}` cannot be read",
            where=f"rung `{rung['name']}`, first_difference",
            why=str(error).splitlines()[0],
            do="run `qdeploy verify` again",
        ) from error
    return Difference(rung["name"], note, record, cells)
