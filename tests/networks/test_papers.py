"""The papers' tables: every row has a recipe, and its network has the stated size."""

import re

import pytest
from network_sizes import multiplications, network_of, numbers

from qdeploy.data.load import data_spec
from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.papers import Row, cells, read_tables, recipes
from qdeploy.resources import resource

PAPERS = ("boo2020", "sung2015")
# Every row with a stated number of parameters. All are met, so there is no list of exceptions.
SIZED = [
    pytest.param(paper, table.parameters, row, id=f"{paper}-{table_name}-{name}")
    for paper in PAPERS
    for table_name, table in read_tables(paper).items()
    for name, row in table.rows.items()
    if row.parameters is not None
]


@pytest.mark.parametrize(("paper", "counted", "row"), SIZED)
def test_networks_have_the_size_their_paper_states(paper: str, counted: str, row: Row):
    network = network_of(resource(f"models/{paper}") / row.recipe, *row.set)
    assert numbers(network, counted) == pytest.approx(row.parameters, rel=0.03)


def test_networks_of_table_1_take_the_stated_operations():
    for name, row in read_tables("boo2020")["table1"].rows.items():
        found = multiplications(network_of(resource("models/boo2020") / row.recipe))
        assert found == pytest.approx(row.operations, rel=0.05), name


def test_the_segmentation_network_with_image_level_features_has_its_published_size():
    # Sandler et al. 2018, table 7: 2.11 million parameters, 2.75 billion multiplications.
    network = network_of(resource("models/boo2020/deeplab_mobilenetv2_pooled_w4a4.yaml"))
    assert numbers(network, "trained") == pytest.approx(2.11e6, rel=0.005)
    assert multiplications(network) == pytest.approx(2.75e9, rel=0.03)
    # Without them and their fusing convolution: 320·256 + 512·256 weights and two batch norms less.
    plain = network_of(resource("models/boo2020/deeplab_mobilenetv2_w4a4.yaml"))
    assert numbers(network, "trained") - numbers(plain, "trained") == 320 * 256 + 512 * 256 + 1024


def test_all_rows_of_tables_1_to_5_are_there():
    rows = {name: len(table.rows) for name, table in read_tables("boo2020").items()}
    assert [rows[f"table{n}"] for n in range(1, 6)] == [10, 7, 3, 4, 17]
    results = [cell for cell in cells("boo2020") if cell.published is not None]
    # Ten networks twice; 7 and 3 x 4 of segmentation; four depths and 17 networks in 3 and 4 ways.
    assert len(results) == 20 + 7 + 12 + 12 + 68


@pytest.mark.parametrize("paper", PAPERS)
def test_every_figure_names_a_recipe_that_loads_and_a_phase_it_has(paper: str):
    for cell in cells(paper):
        recipe = load_recipe(cell.recipe, cell.overrides)
        assert cell.phase in [phase.name for phase in recipe.phases], cell


@pytest.mark.parametrize("paper", PAPERS)
def test_runs_of_one_name_are_one_run(paper: str):
    made: dict[str, object] = {}
    for cell in cells(paper):
        recipe = load_recipe(cell.recipe, cell.overrides)
        assert made.setdefault(recipe.name, recipe) == recipe


@pytest.mark.parametrize("paper", PAPERS)
def test_every_recipe_of_a_paper_is_in_a_table(paper: str):
    named = {cell.recipe for cell in cells(paper)}
    ours = {path for path in recipes() if path.parent.name == paper}
    assert ours - named <= {resource("models/boo2020/deeplab_mobilenetv2_pooled_w4a4.yaml")}


def test_names_of_rows_say_what_their_recipes_are():
    tables = read_tables("boo2020")
    for name, row in tables["table1"].rows.items():
        network = load_recipe(resource("models/boo2020") / row.recipe).network
        depth, _, rest = name.removeprefix("resnet").partition("-")
        bottleneck = int(depth) > 34
        assert network.block == ("preact-bottleneck" if bottleneck else "preact"), name
        assert 2 + (3 if bottleneck else 2) * sum(network.blocks) == int(depth), name
        multiplier = float(rest[1:]) if rest.startswith("x") else 1.0
        # The names round: 90, 70, 72 and 85 of 64 channels.
        assert network.width / 64 == pytest.approx(multiplier, abs=0.03), name
    for table, kind in (("figure6a", "resnet"), ("figure7", "mobilenetv2")):
        for name, row in tables[table].rows.items():
            network = load_recipe(resource("models/boo2020") / row.recipe).network
            assert (network.type, network.multiplier) == (kind, float(name[1:])), name
            if table == "figure6a":
                assert (network.block, network.depth, network.width) == ("basic", 20, 16), name
    for name, row in tables["table5"].rows.items():
        network = load_recipe(resource("models/boo2020") / row.recipe).network
        assert f"{network.block}-{network.depth}" == name
    for name, row in tables["table4"].rows.items():
        network = load_recipe(resource("models/boo2020") / row.recipe).network
        assert (f"resnet{network.depth}", network.width) == (name, 16)
    for name, row in tables["synthetic"].rows.items():
        network = load_recipe(resource("models/boo2020") / row.recipe).network
        width, layers = (int(n) for n in re.findall(r"\d+", name))
        assert (network.width, network.depth + 1) == (width, layers)
        assert network.residual == name.endswith("residual")


def test_a_table_that_names_no_column_or_no_recipe_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("qdeploy.recipe.papers.resource", lambda _name: tmp_path / "tables.yaml")
    text = (
        "t:\n  title: x\n  columns: {float: {phase: float}}\n  rows:\n    a: {recipe: r.yaml%s}\n"
    )
    (tmp_path / "tables.yaml").write_text(text % "")
    with pytest.raises(RecipeError, match=r"`r\.yaml` of row `\w+` does not exist") as caught:
        read_tables("x")
    assert caught.value.where == f"{tmp_path / 'tables.yaml'}:5"
    (tmp_path / "tables.yaml").write_text(text % ", results: {w2a2: 90}")
    with pytest.raises(RecipeError, match="a result for the unknown column `w2a2`"):
        read_tables("x")


def test_every_data_set_of_a_recipe_is_known():
    assert {load_recipe(path).data.name for path in recipes()} >= {"imagenet", "voc2012", "camvid"}
    for path in recipes():
        assert len(data_spec(load_recipe(path).data).shape) == 3
