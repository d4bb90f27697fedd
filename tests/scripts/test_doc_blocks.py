"""Every fenced block of the guide runs, is checked as far as it can be, or has a reason not to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fenced import ROOT, Block, blocks_of, fault_of, lines_of

from qdeploy.devices.boards import load_board
from qdeploy.recipe.loading import load_recipe

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]

# Pages whose Python runs, and the file of tests that runs it.
PYTHON_RUNS = {
    "docs/ci.md": "tests/cli/test_ci_command.py",
    "README.md": "tests/scripts/test_own_network_pages.py",
    "docs/journeys.md": "tests/scripts/test_journeys_page.py",
    "docs/own-code.md": "tests/scripts/test_own_code_page.py",
    "docs/own-loop.md": "tests/scripts/test_own_network_pages.py",
    "docs/own-network.md": "tests/scripts/test_own_network_pages.py",
    "docs/post-training.md": "tests/scripts/test_post_training_page.py",
}
# Python that does not run here: page -> why.
PYTHON_COMPILES = {
    "docs/pynq.md": "needs a board; the driver's own tests run it against a model of one",
}
# Blocks that are no code: page, beginning of the first line -> what they are.
NO_CODE = {
    ("README.md", "$ make demo"): "a transcript; tests/scripts/test_transcript.py has its form",
    ("docs/api.md", ".. currentmodule"): "the reference of the site, which tests build",
    ("docs/boards.md", "error: "): "a message",
    ("docs/hardware.md", "error: "): "a message",
    (
        "docs/c.md",
        '#include "network_io.h"',
    ): "a part of a program; the package's own main.c is compiled and run",
    ("docs/data.md", "FashionMNIST/"): "a layout of files",
    ("docs/data.md", "cifar-10-batches-py/"): "a layout of files",
    ("docs/data.md", "fsdd/"): "a layout of files",
    ("docs/data.md", "camvid/"): "a layout of files",
    ("docs/data.md", "VOCdevkit/"): "a layout of files",
    ("docs/data.md", "imagenet/"): "a layout of files",
    ("docs/own-code.md", "my-project/"): "a layout of files",
    (
        "docs/own-code.md",
        "[build-system]",
    ): "a file that tests/scripts/test_own_code_page.py writes",
    ("docs/own-network.md", "2 operations"): "a message; compared where the page runs",
    ("docs/pynq.md", '#include "qd_selftest.h"'): "for a board; the driver in C has its own tests",
    ("docs/pynq.md", '#include "qd_weights.h"'): "for a board; the driver in C has its own tests",
    ("docs/pynq.md", "memory --"): "a picture",
    ("docs/studies.md", "ray start"): "needs a cluster",
    ("docs/studies.md", "cluster_name"): "Ray's own format; needs a cluster",
    ("docs/studies.md", "#!/bin/bash"): "needs a cluster",
    ("docs/verification.md", '{"frames"'): "a shortened file",
}
# YAML that is loaded elsewhere, since it needs files beside it: page -> the file of tests.
YAML_RUNS = {
    "docs/own-code.md": "tests/scripts/test_own_code_page.py",
    "docs/studies.md": "tests/scripts/test_studies_page.py",
}
# What a section alone is put on top of.
BASE = """
network: {type: fcdnn}
phases:
  - {name: float, kind: pretrain, epochs: 1}
  - {name: retrain, kind: retrain, epochs: 1}
"""
SECTION = re.compile(r"\w+: ")
BOARD = re.compile(r"^part: ", re.MULTILINE)
COMMANDS = {"", "sh", "shell", "bash", "console"}


def reason(block: Block) -> str | None:
    """Why a block is no code, None where it is some."""
    for (page, beginning), why in NO_CODE.items():
        if block.page == page and block.first.startswith(beginning):
            return why
    return None


CODE = [block for block in BLOCKS if reason(block) is None]


def of(*languages: str) -> list[pytest.param]:
    chosen = [block for block in CODE if block.language in languages]
    return [pytest.param(block, id=f"{block.page}: {block.first[:40]}") for block in chosen]


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {*COMMANDS, "python", "yaml"}
    assert [(one.page, one.first) for one in CODE if one.language not in kinds] == []


def test_every_reason_is_that_of_a_block() -> None:
    used = {
        (page, beginning)
        for page, beginning in NO_CODE
        if any(one.page == page and one.first.startswith(beginning) for one in BLOCKS)
    }
    assert set(NO_CODE) - used == set()


@pytest.mark.parametrize("block", of(*COMMANDS))
def test_commands_are_ones_that_exist(block: Block) -> None:
    assert [fault for fault in map(fault_of, lines_of(block.text)) if fault] == []


@pytest.mark.parametrize("block", of("yaml"))
def test_recipes_load_alone_or_on_top_of_one_and_boards_too(block: Block, tmp_path: Path) -> None:
    if block.page in YAML_RUNS:
        assert Path(block.page).name in (ROOT / YAML_RUNS[block.page]).read_text(encoding="utf-8")
        return
    if BOARD.search(block.text):
        (tmp_path / "board.yaml").write_text(block.text, encoding="utf-8")
        load_board(str(tmp_path / "board.yaml"))
        return
    (tmp_path / "models").symlink_to(ROOT / "models")
    if block.text.startswith(("name:", "base:")):
        recipes = [block.text]
    else:  # one section, or one on each line
        (tmp_path / "base.yaml").write_text(BASE, encoding="utf-8")
        several = block.text.count("\n") > 1 and all(map(SECTION.match, block.text.splitlines()))
        sections = block.text.splitlines() if several else [block.text]
        recipes = [f"name: fragment\nbase: base.yaml\n{section}\n" for section in sections]
    for recipe in recipes:
        (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("block", of("python"))
def test_python_runs_in_a_test_or_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")
    if block.page in PYTHON_RUNS:
        tests = (ROOT / PYTHON_RUNS[block.page]).read_text(encoding="utf-8")
        assert Path(block.page).name in tests
    elif block.page == "docs/recipes.md":
        exec(block.text, {})
    else:
        assert block.page in PYTHON_COMPILES


def test_faults_are_seen() -> None:
    right = "qdeploy export runs/mine --target pynq --board pynq-z1 --max-lut 20%"
    assert fault_of(right) is None
    for wrong, said in (
        ("qdeploy exprot runs/mine", "there is no command `exprot`"),
        ("qdeploy export runs/mine --max-luts 20%", "No such option"),
        ("qdeploy export", "Missing argument"),
        ("make dmeo", "no Makefile has ['dmeo']"),
        ("qdeplyo export runs/mine", "there is no program `qdeplyo`"),
    ):
        assert said in str(fault_of(wrong)), wrong
