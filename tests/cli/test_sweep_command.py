"""`qdeploy sweep`: estimates of variants, their Pareto front and figure, and what it refuses."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.cli.estimate import estimate as estimate_command
from qdeploy.cli.sweep import sweep as command
from qdeploy.errors import RecipeError, UserError
from qdeploy.recipe.loading import load_recipe
from qdeploy.search.axis import parse_axis
from qdeploy.search.sweep import front
from qdeploy.training.train import train

RECIPE = """\
name: small
network: {type: fcdnn, width: 16, depth: 2}
data: {name: digits, batch_size: 64}
training: {threads: 1, epochs: 1}
phases:
  - {name: float, kind: pretrain, epochs: 1, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""
OVER = ("--over", "network.width=8,32", "--over", "quantization.weight_bits=2,4")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def swept(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(command, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def as_data(*words: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(swept(*words, "--json", code=code))
    return found


def test_each_variant_is_what_estimate_says_of_it(recipe: Path) -> None:
    found = as_data(recipe, *OVER, "--fps", 20_000, "--max-lut", "20%")
    assert [one["settings"] for one in found["variants"]] == [
        {"network.width": width, "quantization.weight_bits": bits}
        for width in (8, 32)
        for bits in (2, 4)
    ]
    last = found["variants"][-1]
    words = ["--set", "network.width=32", "--set", "quantization.weight_bits=4"]
    limits = ["--fps", "20000", "--max-lut", "20%", "--json"]
    done = CliRunner().invoke(estimate_command, [str(recipe), *words, *limits])
    single = json.loads(done.stdout)
    for kind in ("fps", "lut", "ff", "bram36", "dsp", "fits"):
        assert last[kind] == single[kind]
    assert last["name"] == "small+network.width=32+quantization.weight_bits=4"
    # The head has its own 8 bits, the first layer too.
    assert last["weights"] == 64 * 32 + 32 * 32 + 32 * 10
    assert found["gain"] == "weight_bits"
    assert set(found["front"]) <= {one["name"] for one in found["variants"] if one["fits"]}


def test_the_table_names_what_nothing_beats_and_the_next_command(recipe: Path) -> None:
    text = swept(recipe, "--over", "network.width=8,16", "--fps", 20_000)
    assert "2 of 2 variants fit at 20,000 frames/s, by estimate." in text
    assert f"next: qdeploy train {recipe} --set network.width=16" in text


def test_figures_are_drawn_and_the_same_each_time(recipe: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.svg", "b.svg", "c.png")]
    for path in paths:
        swept(recipe, "--over", "network.width=8,16", "--figure", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    texts = [element.text for element in ElementTree.parse(paths[0]).iter() if element.text]
    assert {"width=8", "width=16", "Pareto front", "frames/s"} <= {text.strip() for text in texts}
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_runs_give_the_accuracy_whatever_their_names_and_seeds(
    recipe: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for number in range(2):
        train(load_recipe(recipe, ["network.width=8", f"seed={number}"]), runs / f"r{number}")
    train(load_recipe(recipe, ["network.width=8", "training.epochs=2"]), runs / "longer")
    shutil.copytree(runs / "r0", runs / "unfinished")
    (runs / "unfinished" / "model.safetensors").unlink()
    (runs / "unfinished" / "summary.json").unlink()
    text = swept(recipe, "--over", "network.width=8,16", "--runs", runs)
    assert f"1 finished runs in {runs} are of other recipes" in text
    found = as_data(recipe, "--over", "network.width=8,16", "--runs", runs)
    first, second = found["variants"]
    accuracies = [
        json.loads((runs / name / "summary.json").read_text())["phases"][-1]["accuracy"]
        for name in ("r0", "r1")
    ]
    assert first["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert first["runs"] == [str(runs / "r0"), str(runs / "r1")]
    assert "accuracy" not in second
    assert (found["gain"], found["front"]) == ("accuracy", ["small+network.width=8"])


def test_what_fits_nowhere_says_why_and_exits_with_one(recipe: Path) -> None:
    text = swept(recipe, "--over", "network.width=8,16", "--max-lut", 90, code=1)
    assert "0 of 2 variants fit" in text
    assert "width=16: not even the slowest folding is estimated to fit the budget; " in text
    assert "where 90 are allowed" in text
    assert "next:" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "network.width"], "not of the form section.key=value,value"),
        (["--over", "network.width="], "not of the form section.key=value,value"),
        (["--over", "network.width=[1"], "not valid YAML"),
        (["--over", "network.width=8,8"], "the value 8 is there twice"),
        (["--over", "network.width=8", "--over", "network.width=9"], "is swept twice"),
        (["--over", "network.widht=8"], "did you mean `width`"),
        (["--over", "quantization.weight_bits=2,9"], "not in the range 1 to 8"),
        (["--over", f"seed={','.join(map(str, range(300)))}"], "300 combinations, more than 256"),
        (["--over", "seed=1", "--figure", "x.pdf"], "end it in .svg or .png"),
        (["--over", "seed=1", "--runs", "nowhere"], "there is no folder `nowhere`"),
        (["--over", "seed=1", "--max-lut", "99%"], "a design cannot have"),
        (["--over", "seed=1", "--board", "pynq-z9"], "did you mean"),
    ],
)
def test_bad_input_is_refused_before_anything_is_estimated(
    recipe: Path, words: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        swept(recipe, *words)
    assert message in str(caught.value)


def test_a_recipe_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match="there is no recipe `nothing`"):
        swept("nothing", "--over", "seed=1")


def test_an_axis_may_have_values_of_any_kind() -> None:
    assert parse_axis("network.hidden=[8],[8,4]").values == ([8], [8, 4])
    assert parse_axis("quantization.scale=float,power_of_two").values == ("float", "power_of_two")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    """By definition: none is as cheap or cheaper with as much or more, and better in one."""
    best = front(points)

    def beaten(one: tuple[int, int]) -> bool:
        return any(o[0] <= one[0] and o[1] >= one[1] and o != one for o in points)

    assert {points[number] for number in best} == {one for one in points if not beaten(one)}
    assert len({points[number] for number in best}) == len(best)
    assert [points[n][0] for n in best] == sorted(points[n][0] for n in best)
