"""Targets are found by name: qdeploy's own, and those of other packages by their entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.build.pipeline import load_steps
from qdeploy.errors import UserError
from qdeploy.targets.ip.target import IpTarget
from qdeploy.targets.pynq.target import PynqTarget
from qdeploy.targets.registry import TARGETS
from qdeploy.targets.target import HARDWARE_RUNGS
from qdeploy.verify.ladder import RUNGS

TEXT_TARGET = Path(__file__).parents[1] / "support/text_target"


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean `pynq`") as caught:
        TARGETS.load("pyng")
    assert caught.value.do == "choose one of: pynq, ip, c"


@pytest.mark.parametrize(("name", "kind"), [("pynq", PynqTarget), ("ip", IpTarget)])
def test_hardware_targets_declare_every_step_and_every_rung(name: str, kind: type) -> None:
    target = TARGETS.load(name)
    assert isinstance(target, kind)
    assert [step.name for step in load_steps(target)] == list(target.steps)
    assert target.rungs == HARDWARE_RUNGS
    assert set(HARDWARE_RUNGS) < set(RUNGS)


def test_a_target_of_another_package_is_found_where_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "text" not in TARGETS
    monkeypatch.syspath_prepend(str(TEXT_TARGET))
    assert TARGETS.names() == ("pynq", "ip", "c", "text")
    assert TARGETS.load("text").steps == ("lower", "package", "record")
