"""The papers' tables: which recipe belongs to which row, and what the paper measured.

`models/PAPER/tables.yaml` names every row. A row is a recipe with overrides; a column adds
overrides and names the training phase after which its figure is read:

    for cell in cells("boo2020"):
        recipe = load_recipe(cell.recipe, cell.overrides)     train it up to cell.phase
        cell.published                                        and compare
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from qdeploy.errors import RecipeError
from qdeploy.recipe.section import Section
from qdeploy.recipe.yaml_tree import construct, lines_by_key, read_nodes
from qdeploy.resources import resource

TABLES = "tables.yaml"
STUDIES = "studies"  # the folder of study files, which are no recipes


class Column(Section):
    """How the figures of a column are obtained."""

    set: list[str] = Field(default_factory=list, description="overrides of the recipe")
    phase: str = Field(description="training phase whose result it is")


class Row(Section):
    """One network, trained in one way."""

    recipe: str = Field(description="recipe file in the same folder")
    set: list[str] = Field(default_factory=list, description="overrides of the recipe")
    phase: str | None = Field(default=None, description="in place of the column's")
    parameters: float | None = Field(default=None, gt=0, description="stated number of parameters")
    operations: float | None = Field(
        default=None, gt=0, description="stated multiplications per image"
    )
    results: dict[str, float] = Field(
        default_factory=dict, description="stated figures by column, in percent"
    )


class Table(Section):
    """A table or figure. `parameters` are `trained` ones, or `all`, with the means and variances of
    batch norm."""

    title: str = Field(description="what it shows")
    metric: Literal["accuracy", "miou"] = Field(default="accuracy", description="of the results")
    parameters: Literal["trained", "all"] = Field(default="all", description="what is counted")
    source: str | None = Field(
        default=None, description="where the parameters are stated, if not in the table itself"
    )
    columns: dict[str, Column] = Field(min_length=1, description="columns by name")
    rows: dict[str, Row] = Field(min_length=1, description="rows by name")

    @model_validator(mode="after")
    def _columns_of_results(self) -> Table:
        for name, row in self.rows.items():
            other = sorted(set(row.results) - set(self.columns))
            if other:
                raise ValueError(f"row `{name}` has a result for the unknown column `{other[0]}`")
        return self


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Args:
        table, row, column: their names.
        recipe: absolute path.
        overrides: for `load_recipe`; where there are any, they include a unique `name`, so that run
            folders do not collide.
        phase: the training phase whose result it is; later phases are not needed.
        published: the paper's figure in percent; None where the paper states none.
    """

    table: str
    row: str
    column: str
    recipe: Path
    overrides: tuple[str, ...]
    phase: str
    published: float | None


def read_tables(paper: str) -> dict[str, Table]:
    """The tables of `models/<paper>` by name.

    Raises:
        RecipeError: for an invalid file, with file and line, or a row whose recipe is missing.
    """
    path = resource(f"models/{paper}/{TABLES}")
    root = read_nodes(path)
    data, found = construct(root, path), lines_by_key(root)
    try:
        tables = TypeAdapter(dict[str, Table]).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = first["loc"]
        near = next(keys[:end] for end in range(len(keys), -1, -1) if keys[:end] in found)
        raise RecipeError(
            f"`{'.'.join(str(key) for key in keys)}`: {first['msg']}",
            where=found[near],
            do="correct the table",
        ) from error
    for name, table in tables.items():
        for row_name, row in table.rows.items():
            if not (path.parent / row.recipe).is_file():
                raise RecipeError(
                    f"the recipe `{row.recipe}` of row `{row_name}` does not exist",
                    where=found[(name, "rows", row_name)],
                    do=f"name a file in {path.parent}",
                )
    return tables


def cells(paper: str) -> Iterator[Cell]:
    """Every figure of every table of `models/<paper>`.

    Raises:
        RecipeError: as `read_tables`.
    """
    folder = resource(f"models/{paper}")
    for table_name, table in read_tables(paper).items():
        for row_name, row in table.rows.items():
            for column_name, column in table.columns.items():
                overrides = (*row.set, *column.set)
                if overrides:
                    overrides += (f"name={table_name}_{row_name}_{column_name}",)
                yield Cell(
                    table_name,
                    row_name,
                    column_name,
                    folder / row.recipe,
                    overrides,
                    row.phase or column.phase,
                    row.results.get(column_name),
                )


def recipes() -> list[Path]:
    """Every recipe in `models/`, sorted, without the tables, the shared bases and the studies."""
    return sorted(
        path
        for path in resource("models").glob("*/*.yaml")
        if path.name != TABLES and path.parent.name != STUDIES
    )
