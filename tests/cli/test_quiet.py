"""What other packages say about themselves stays out of the commands' output."""

from __future__ import annotations

import sys
import warnings

import pytest

from qdeploy.cli import main


def test_syntax_of_other_packages_is_not_the_users_business(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    odd = "x = 1 is 1\n"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        main._quieten()
        compile(odd, "/venv/site-packages/brevitas/core/scaling/odd.py", "exec")
        compile(odd, "/home/me/my_layers.py", "exec")
    assert [one.filename for one in heard] == ["/home/me/my_layers.py"]
