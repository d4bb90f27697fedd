"""The papers' figures in tables.yaml, against copies of the papers' own tables in `published/`."""

import csv
from pathlib import Path

import pytest

from qdeploy.networks.sections import ResnetNetwork
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.papers import cells, read_tables
from qdeploy.resources import resource

PUBLISHED = Path(__file__).parent / "published"
TABLES = sorted(path.stem for path in PUBLISHED.glob("*.csv"))
LAYERS = {"basic": 2, "preact": 2, "depthwise": 3, "preact-bottleneck": 3}


def published(table: str) -> dict[str, dict[str, str]]:
    """Lines by the name of their row."""
    with (PUBLISHED / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return {line["row"]: line for line in csv.DictReader(file)}


@pytest.mark.parametrize("table", TABLES)
def test_figures_are_those_of_the_paper(table: str):
    ours = read_tables("boo2020")[table]
    lines = published(table)
    assert {name: row.results for name, row in ours.rows.items()} == {
        name: {column: float(line[column]) for column in ours.columns}
        for name, line in lines.items()
    }


def test_every_figure_in_the_files_has_a_published_table():
    for paper, expected in (("boo2020", TABLES), ("sung2015", [])):
        stated = {cell.table for cell in cells(paper) if cell.published is not None}
        assert sorted(stated) == expected


@pytest.mark.parametrize("table", ["table1", "table5"])
def test_stated_sizes_are_those_of_the_paper(table: str):
    rows = read_tables("boo2020")[table].rows
    for name, line in published(table).items():
        assert rows[name].parameters == pytest.approx(1e6 * float(line["parameters_millions"]))
        if "operations_billions" in line:
            assert rows[name].operations == pytest.approx(1e9 * float(line["operations_billions"]))
        else:
            assert rows[name].operations is None


@pytest.mark.parametrize("table", ["table1", "table5"])
def test_rows_name_recipes_of_the_published_architecture(table: str):
    rows = read_tables("boo2020")[table].rows
    for name, line in published(table).items():
        network = load_recipe(resource("models/boo2020") / rows[name].recipe).network
        assert isinstance(network, ResnetNetwork)
        blocks = [int(count) for count in line["blocks"].split("-")]
        assert (network.block, network.groups) == (line["block"], blocks), name
        assert network.widths[0] == int(line["width"]), name
        assert 2 + LAYERS[network.block] * sum(blocks) == int(line["depth"]), name


def test_rows_of_table_4_name_networks_of_the_published_depth():
    rows = read_tables("boo2020")["table4"].rows
    for name, line in published("table4").items():
        network = load_recipe(resource("models/boo2020") / rows[name].recipe).network
        assert isinstance(network, ResnetNetwork)
        assert network.depth == int(line["depth"])


def test_rows_of_table_2_train_at_the_published_widths_with_the_named_method():
    lines = published("table2")
    for cell in (cell for cell in cells("boo2020") if cell.table == "table2"):
        recipe = load_recipe(cell.recipe, cell.overrides)
        if cell.row == "pretrained":
            assert cell.phase == "float"
            continue
        line = lines[cell.row]
        for kind in ("weight_bits", "activation_bits"):
            assert str(getattr(recipe.quantization, kind)) == line[kind], cell.row
        strengths = {phase.name: getattr(phase, "lipschitz", None) for phase in recipe.phases}
        method = cell.row.partition("-")[2]
        assert cell.phase == ("finetune" if method == "clr" else "retrain")
        assert strengths["retrain"] == (1e-4 if method == "lipschitz" else 0)
        if method == "clr":
            assert strengths["finetune"] == 0
