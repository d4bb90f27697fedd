"""Names of built-in entries and of those that other packages bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from plugin_packages import install

from qdeploy.errors import InternalError, UserError
from qdeploy.registry import Registry

GROUP = "qdeploy.test_things"


def things(**builtin: str) -> Registry[Path]:
    return Registry("thing", GROUP, Path, builtin)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Path]:
    (tmp_path / "own_things.py").write_text(
        "from pathlib import Path\nCUP, POT, TEXT = Path('cup'), Path('pot'), 'no path'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return things(pot="own_things:POT", cup="own_things:CUP", text="own_things:TEXT")


def test_built_in_entries_keep_their_order_and_are_loaded_by_name(own: Registry[Path]) -> None:
    assert own.names() == ("pot", "cup", "text")
    assert own.load("cup") == Path("cup")
    assert "pot" in own and "pan" not in own


def test_an_unknown_name_gets_the_nearest_one_and_the_list(own: Registry[Path]) -> None:
    with pytest.raises(UserError) as caught:
        own.load("cupp")
    assert caught.value.what == "unknown thing `cupp`; did you mean `cup`?"
    assert caught.value.do == "choose one of: pot, cup, text"


def test_an_installed_package_adds_its_entries(
    own: Registry[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from pathlib import Path\nPAN = Path('pan')\nJUG = Path('jug')\n"
    entries = {"pan": "outside_things:PAN", "jug": "outside_things:JUG"}
    install(tmp_path / "site", monkeypatch, "kitchen", {GROUP: entries}, {"outside_things": source})
    assert own.names() == ("pot", "cup", "text", "jug", "pan")
    assert "outside_things" not in sys.modules, "the names are known without importing anything"
    assert own.load("pan") == Path("pan")


def test_a_name_that_qdeploy_has_already_is_refused(
    own: Registry[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "kitchen", {GROUP: {"cup": "elsewhere:CUP"}})
    with pytest.raises(UserError, match="thing `cup`: of qdeploy and of the package `kitchen`"):
        own.load("pot")


def test_two_packages_with_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("kitchen", "cellar"):
        install(tmp_path / package, monkeypatch, package, {GROUP: {"jar": f"{package}_x:JAR"}})
    with pytest.raises(UserError, match="of the package `cellar` and of the package `kitchen`"):
        things().names()


@pytest.mark.parametrize(
    ("value", "source", "why"),
    [
        ("missing_module:CUP", "", "ModuleNotFoundError: No module named 'missing_module'"),
        ("broken_things:CUP", "raise RuntimeError('no kettle')", "RuntimeError: no kettle"),
        ("empty_things:CUP", "", "AttributeError: module 'empty_things' has no attribute 'CUP'"),
    ],
)
def test_a_broken_entry_is_reported_with_its_package(
    value: str, source: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {} if "missing" in value else {value.partition(":")[0]: source}
    install(tmp_path, monkeypatch, "kitchen", {GROUP: {"kettle": value}}, modules)
    with pytest.raises(UserError) as caught:
        things().load("kettle")
    assert caught.value.what == "the thing `kettle` of the package `kitchen` cannot be loaded"
    assert caught.value.why == why
    assert value in str(caught.value.where)


def test_an_entry_of_another_class_is_refused(
    own: Registry[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path / "site",
        monkeypatch,
        "kitchen",
        {GROUP: {"fork": "wrong_things:FORK"}},
        {"wrong_things": "FORK = 3"},
    )
    with pytest.raises(UserError, match="the package `kitchen` is of class int, not Path"):
        own.load("fork")
    with pytest.raises(InternalError, match="`text` of qdeploy is of class str"):
        own.load("text")


def test_installed_packages_are_not_looked_through_on_import() -> None:
    program = (
        "import importlib.metadata as metadata\n"
        "def entry_points(**_): raise SystemExit('entry points were read')\n"
        "metadata.entry_points = entry_points\n"
        "import qdeploy.registry, qdeploy.cli.main\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
