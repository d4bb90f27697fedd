"""Every test says what it expects."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def calls(node: ast.AST) -> set[str]:
    """Names of what is called, without what stands before the last dot."""
    called = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    names = {func.id for func in called if isinstance(func, ast.Name)}
    return names | {func.attr for func in called if isinstance(func, ast.Attribute)}


def asserts(node: ast.AST) -> bool:
    """Whether the code itself compares something: `assert`, `pytest.raises`, numpy's functions."""
    return any(isinstance(inner, ast.Assert) for inner in ast.walk(node)) or any(
        name in ("raises", "fail") or name.startswith("assert_") for name in calls(node)
    )


def without_assertion(files: dict[str, str]) -> list[str]:
    """Tests that assert nothing, neither themselves nor through a function of these files.

    Args:
        files: Python sources by name.

    Returns:
        `file::test`, in the order of the files.
    """
    trees = {name: ast.parse(text) for name, text in files.items()}
    helpers = [function for tree in trees.values() for function in functions(tree)]
    checking = {helper.name for helper in helpers if asserts(helper)}
    while more := {h.name for h in helpers if calls(h) & checking} - checking:
        checking |= more
    return [
        f"{name}::{function.name}"
        for name, tree in trees.items()
        for function in functions(tree)
        if function.name.startswith("test_")
        and not asserts(function)
        and not calls(function) & checking
    ]


def test_no_test_passes_as_long_as_nothing_is_raised() -> None:
    files = {
        str(path.relative_to(TESTS)): path.read_text(encoding="utf-8")
        for path in sorted(TESTS.rglob("*.py"))
    }
    assert without_assertion(files) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("work()", True),
        ("assert work() == 1", False),
        ("with pytest.raises(ValueError):\n        work()", False),
        ("np.testing.assert_array_equal(work(), 1)", False),
        ("check(work())", False),
        ("outer(work())", False),
        ("unrelated(work())", True),
    ],
)
def test_assertion_may_stand_in_a_helper_of_another_file(body: str, found: bool) -> None:
    support = (
        "def check(x):\n    assert x\n"
        "def outer(x):\n    check(x)\n"
        "def unrelated(x):\n    return x\n"
    )
    test = f"def test_it():\n    {body}\n"
    expected = ["test_a.py::test_it"] if found else []
    assert without_assertion({"test_a.py": test, "support.py": support}) == expected
