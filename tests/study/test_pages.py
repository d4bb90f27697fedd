"""Pages and figures of studies, and what the command line shows of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from qdeploy.study.claims import decide
from qdeploy.study.facts import read_facts
from qdeploy.study.page import write_page
from qdeploy.study.reading import open_study, shipped_studies
from qdeploy.study.results import Results


def qdeploy(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qdeploy", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic study, run at its smallest scale."""
    folder = tmp_path_factory.mktemp("smoke")
    done = qdeploy(
        "study", "run", "synthetic", "--scale", "smoke", "--store", str(folder / "store")
    )
    assert done.returncode == 0, done.stderr
    assert "Distortion and noise" in done.stdout
    return folder


@pytest.fixture(scope="module")
def pages(smoke: Path) -> Path:
    """The folder of its page and figures."""
    words = ["--store", str(smoke / "store"), "--page", str(smoke / "pages")]
    done = qdeploy("study", "show", "synthetic", *words)
    assert done.returncode == 0, done.stderr
    return smoke / "pages"


@pytest.mark.slow
def test_a_page_has_claims_figures_and_what_the_scale_is(pages: Path) -> None:
    page = (pages / "synthetic.md").read_text(encoding="utf-8")
    assert "| the paper says | where | we find | agree? |" in page
    assert "What this scale is:** one epoch" in page
    assert "not run at this scale" in page  # claims about networks that smoke leaves out
    for name in ("maps", "distortion", "noise", "accuracy"):
        file = f"synthetic-{name}.png"
        assert f"]({file})" in page
        with Image.open(pages / file) as picture:
            assert min(picture.size) > 200


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(smoke: Path, pages: Path) -> None:
    words = ["--store", str(smoke / "store"), "--page", str(smoke / "again")]
    assert qdeploy("study", "show", "synthetic", *words).returncode == 0
    files = sorted(path.name for path in pages.iterdir())
    assert len(files) > 3
    for name in files:
        assert (pages / name).read_bytes() == (smoke / "again" / name).read_bytes()


@pytest.mark.slow
def test_json_has_every_cell_with_its_measures(smoke: Path) -> None:
    done = qdeploy("study", "show", "synthetic", "--json", "--store", str(smoke / "store"))
    data = json.loads(done.stdout)
    assert data["scale"] == "smoke"
    assert len(data["cells"]) == 4 * 2
    for cell in data["cells"]:
        assert cell["state"] == "done"
        assert {"accuracy", "distortion", "noise", "weights"} <= set(cell)
    assert data["made_by"][0]["versions"]["qdeploy"]


@pytest.mark.slow
def test_what_was_not_run_is_answered_with_the_command(smoke: Path) -> None:
    done = qdeploy("study", "show", "blocks", "--store", str(smoke / "store"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "do this  run it: qdeploy study run blocks" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_of_the_schedule_is_drawn_from_the_code_that_trains(tmp_path: Path) -> None:
    done = qdeploy("study", "show", "clr", "--page", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "clr.md").read_text(encoding="utf-8")
    assert "largest relative difference" in page and "| yes |" in page
    assert (tmp_path / "clr-rates.png").stat().st_size > 5000


def test_a_schedule_that_is_not_the_papers_is_no_agreement(tmp_path: Path) -> None:
    shipped = shipped_studies()["clr"]
    facts = read_facts("boo2020_clr.csv", shipped)
    text = shipped.read_text(encoding="utf-8")
    (tmp_path / "clr.yaml").write_text(text, encoding="utf-8")
    lines = (
        (shipped.parent / "facts" / "boo2020_clr.csv")
        .read_text()
        .replace("step-3,factor,scale,0.1", "step-3,factor,scale,0.2")
    )
    (tmp_path / "boo2020_clr.csv").write_text(lines)
    opened = open_study(str(tmp_path / "clr.yaml"))
    changed = read_facts("boo2020_clr.csv", opened.path)
    agrees = [
        decide(Results(opened, "drawn", {}, one, [], {}, []))[0].agrees for one in (facts, changed)
    ]
    assert agrees == ["yes", "**no**"]


def test_a_page_without_results_says_what_is_not_there(tmp_path: Path) -> None:
    opened = open_study("blocks")
    facts = read_facts(opened.study.facts, opened.path)
    page = write_page(Results(opened, "short", {}, facts, [], {}, []), tmp_path)
    assert "not run at this scale" in page.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["blocks.md"]


def test_the_list_names_every_study() -> None:
    done = qdeploy("study", "list", "--json")
    assert [one["name"] for one in json.loads(done.stdout)] == list(shipped_studies())
