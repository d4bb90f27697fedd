"""Study files: those that come with qdeploy can be planned; mistakes name their line and trial."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from qdeploy.errors import DataError, StudyError
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.papers import read_tables
from qdeploy.study.claims import check_claims
from qdeploy.study.facts import read_facts
from qdeploy.study.files import ScaleName
from qdeploy.study.grid import Completed, Plan, expanded, plan
from qdeploy.study.reading import open_study, shipped_studies

STUDY = """
title: mine
networks:
  small: {recipe: quickstart/digits_fcdnn_w2a2, values: {units: 64}}
variants:
  float: {phases: [float]}
  plain: {phases: [float, retrain], set: [phases.retrain.lipschitz=0]}
  both: {}
scales:
  smoke: {seeds: [0, 1], set: [training.epochs=1]}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def here(recipe: Recipe) -> Completed:
    """As if every data set were there."""
    return recipe, recipe.data.name


def planned(folder: Path, text: str = STUDY, scale: ScaleName = "smoke") -> Plan:
    return plan(open_study(written(folder, text)), scale, here)


@pytest.mark.parametrize("name", shipped_studies())
def test_every_study_of_qdeploy_can_be_planned_at_every_scale(name: str) -> None:
    opened = open_study(name)
    networks = list(expanded(opened))
    check_claims(opened, networks)
    facts = read_facts(opened.study.facts, opened.path)
    if opened.study.trains:
        known = {(n, v) for n in networks for v in opened.study.variants}
        stated = {(n, v) for n, v, _ in facts.values if not v.startswith("anchor")}
        others = ("-lq-nets", "-dsq")  # other authors' results on a network that is there
        assert {one for one in stated - known if not one[0].endswith(others)} == set()
    for scale in opened.study.scales:
        found = plan(opened, scale, here)
        assert all(cell.trial in found.trials for cell in found.cells)


def test_facts_are_the_figures_of_the_papers_tables() -> None:
    tables = read_tables("boo2020")
    of = {"blocks": "table5", "cifar-methods": "table4", "imagenet-shapes": "table1"}
    for study, table in of.items():
        opened = open_study(study)
        facts = read_facts(opened.study.facts, opened.path)
        rows = tables[table].rows
        assert {n for n, _, _ in facts.values} == set(rows)
        for name, row in rows.items():
            stated = sorted(v for (n, _, _), v in facts.values.items() if n == name)
            assert stated == sorted(row.results.values())


def test_one_float_training_serves_all_retrainings_of_a_seed(tmp_path: Path) -> None:
    found = planned(tmp_path)
    roots = [one for one in found.trials.values() if one.start_from is None]
    assert [one.recipe.phases[-1].kind for one in roots] == ["direct", "direct"]
    assert len(found.trials) == 2 * 3
    for cell in found.cells:
        assert cell.trial is not None
        trial = found.trials[cell.trial]
        if cell.variant == "float":
            assert trial in roots
        else:
            assert found.trials[trial.start_from or ""].recipe.seed == cell.seed


def test_a_retraining_that_two_variants_share_is_trained_once(tmp_path: Path) -> None:
    text = STUDY.replace("both: {}", "both: {set: [phases.retrain.lipschitz=0]}")
    found = planned(tmp_path, text)
    of = {(c.variant, c.seed): found.trials[c.trial or ""] for c in found.cells}
    assert of["both", 1].start_from == of["plain", 1].key
    order = list(found.trials)
    assert order.index(of["plain", 1].key) < order.index(of["both", 1].key)


def test_the_address_tells_data_seeds_and_settings_apart_and_no_names(tmp_path: Path) -> None:
    first = planned(tmp_path)
    again = planned(tmp_path, STUDY.replace("small:", "other:").replace("title: mine", "title: x"))
    assert list(first.trials) == list(again.trials)
    opened = open_study(written(tmp_path, STUDY))
    other_data = plan(opened, "smoke", lambda recipe: (recipe, "other"))
    other_seed = planned(tmp_path, STUDY.replace("[0, 1]", "[2]"))
    other_epochs = planned(tmp_path, STUDY.replace("epochs=1", "epochs=2"))
    for changed in (other_data, other_seed, other_epochs):
        assert set(changed.trials).isdisjoint(first.trials)


def test_over_makes_networks_of_every_combination(tmp_path: Path) -> None:
    change = 'values: {units: 64}, over: ["network.width=8,16", "network.depth=2,3"]'
    found = planned(tmp_path, STUDY.replace("values: {units: 64}", change))
    assert list(found.networks) == ["small-8-2", "small-8-3", "small-16-2", "small-16-3"]
    assert found.networks["small-16-3"].values == {"units": 64, "width": 16, "depth": 3}
    assert len({trial.recipe.network.model_dump_json() for trial in found.trials.values()}) == 4


def test_a_data_set_that_is_missing_is_said_and_stood_in_for_or_left_out(tmp_path: Path) -> None:
    def only_digits(recipe: Recipe) -> Completed:
        if recipe.data.name != "digits":
            raise DataError("there are no files")
        return recipe, "digits"

    wanted = STUDY.replace("[training.epochs=1]", '[training.epochs=1, "data={name: mnist}"]')
    opened = open_study(written(tmp_path, wanted))
    found = plan(opened, "smoke", only_digits)
    assert all(cell.trial is None for cell in found.cells)
    assert found.notes == ["`mnist` is missing: there are no files; trials on it are left out"]
    with_other = wanted.replace('mnist}"]', 'mnist}"], stand_in: ["data={name: digits}"]')
    found = plan(open_study(written(tmp_path, with_other)), "smoke", only_digits)
    assert found.notes == ["`mnist` is missing: `digits` stands in for it"]
    assert all(cell.note == found.notes[0] for cell in found.cells)
    assert {trial.recipe.data.name for trial in found.trials.values()} == {"digits"}


MISTAKES = [
    ("title: mine", "titel: mine", "unknown key `titel`", 2),
    ("seeds: [0, 1]", "seeds: [0, 0]", "`seeds` names a seed twice", 10),
    ("seeds: [0, 1]", "seeds: [0, x]", "`scales.smoke.seeds.1`", 10),
    ("smoke: {seeds", "tiny: {seeds", "`scales.tiny", 9),
    ("seeds: [0, 1],", "seeds: [0], networks: [large],", "there is no `large`", 9),
]


@pytest.mark.parametrize(("old", "new", "what", "line"), MISTAKES)
def test_a_mistake_in_a_study_names_its_key_and_line(
    tmp_path: Path, old: str, new: str, what: str, line: int
) -> None:
    given = written(tmp_path, STUDY.replace(old, new))
    with pytest.raises(StudyError) as caught:
        open_study(given)
    assert what in caught.value.what
    place = (caught.value.where or "").split(" ")[0]
    assert place.startswith(f"{given}") and abs(int(place.rpartition(":")[2]) - line) <= 1


TRIAL_MISTAKES = [
    (
        "phases.retrain.lipschitz=0",
        "phases.retrain.lipshitz=0",
        "unknown key",
        "variants.plain.set",
    ),
    ("training.epochs=1", "training.epochs=-1", "training.epochs", "scales.smoke.set"),
    ("phases: [float, retrain]", "phases: [float, tune]", "no phase `tune`", "variants.plain"),
    ("phases: [float, retrain]", "phases: [retrain]", "not valid", "variants.plain.phases"),
]


@pytest.mark.parametrize(("old", "new", "what", "key"), TRIAL_MISTAKES)
def test_a_mistake_in_a_trial_names_the_key_and_the_trial(
    tmp_path: Path, old: str, new: str, what: str, key: str
) -> None:
    with pytest.raises(StudyError) as caught:
        planned(tmp_path, STUDY.replace(old, new))
    message = caught.value.render()
    assert what in message and key in message
    assert "network small, variant " in message and "scale smoke" in message


def test_an_unknown_recipe_names_the_network(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"networks\.small\.recipe"):
        planned(tmp_path, STUDY.replace("digits_fcdnn_w2a2", "digits_fcdn_w2a2"))


def test_a_study_that_is_not_there_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(StudyError, match="did you mean `synthetic`"):
        open_study("synthetik")


def test_a_scale_that_the_study_lacks_is_refused(tmp_path: Path) -> None:
    assert "full" in get_args(ScaleName)
    with pytest.raises(StudyError, match="no scale `full`"):
        planned(tmp_path, scale="full")


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("more: 'accuracy[small]', than: 'accuracy[small, both]'", "no sum of measures"),
        ("more: 'accuracy[big, both]', than: 'accuracy[small, both]'", "no network `big`"),
        ("more: 'speed[small, both]', than: 'accuracy[small, both]'", "no measure `speed`"),
        (
            "more: 'accuracy[small, both] accuracy[small, both]', than: 'noise[small, both]'",
            "no sum",
        ),
    ],
)
def test_a_claim_that_nothing_can_decide_is_refused(tmp_path: Path, claim: str, what: str) -> None:
    text = STUDY + f"claims:\n  - {{says: so, source: here, {claim}}}\n"
    opened = open_study(written(tmp_path, text))
    with pytest.raises(StudyError, match=what):
        check_claims(opened, list(expanded(opened)))


FACTS = "# source: a paper\nnetwork,variant,measure,value\nsmall,float,accuracy,97.5\n"


def test_facts_are_read_with_their_source(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FACTS)
    found = read_facts("f.csv", tmp_path / "mine.yaml")
    assert found.source == "a paper"
    assert found.get("small", "float", "accuracy") == 97.5
    assert found.get("small", "both", "accuracy") is None


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("# source: a paper\n", "", "name no source"),
        ("network,variant", "variant,network", "other columns"),
        ("97.5", "high", "line of facts is wrong"),
        ("97.5", "nan", "no number, or there twice"),
        (",97.5", "", "line of facts is wrong"),
    ],
)
def test_facts_that_are_wrong_are_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    (tmp_path / "f.csv").write_text(FACTS.replace(old, new))
    with pytest.raises(StudyError, match=what):
        read_facts("f.csv", tmp_path / "mine.yaml")


def test_facts_that_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        read_facts("none.csv", tmp_path / "mine.yaml")
