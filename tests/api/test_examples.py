"""The examples in the docstrings of the functions run, and give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch

import qdeploy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples: what is equal is compiled once."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", sorted(set(qdeploy.__all__) - {"__version__"}))
def test_the_example_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    module = importlib.import_module(qdeploy._FUNCTIONS[name])
    found = doctest.DocTestFinder(recurse=False).find(getattr(module, name), name, globs={})
    assert len(found) == 1 and len(found[0].examples) > 3
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found[0])
    assert not failed
