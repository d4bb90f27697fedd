"""Learning rates against the paper's appendix B and section 5.2."""

from math import sqrt

import pytest

from qdeploy.recipe.models import Phase
from qdeploy.training.schedules import learning_rate


def phase(schedule: dict, lr: float = 0.1) -> Phase:
    return Phase.model_validate(
        {
            "name": "x",
            "kind": "pretrain",
            "epochs": 200,
            "optimizer": {"lr": lr},
            "schedule": schedule,
        }
    )


def rates(one: Phase, epochs: int, steps: int) -> list[float]:
    return [learning_rate(one, step, steps) for step in range(epochs * steps)]


def test_a_constant_rate_stays():
    assert set(rates(phase({"type": "constant"}), 5, 3)) == {0.1}


def test_steps_drop_behind_their_epochs():
    one = phase({"type": "step", "milestones": [100, 150], "gamma": 0.1})
    by_epoch = [learning_rate(one, epoch * 10 + 9, 10) for epoch in range(200)]
    assert by_epoch[:100] == [0.1] * 100
    assert by_epoch[100:150] == pytest.approx([0.01] * 50)
    assert by_epoch[150:] == pytest.approx([0.001] * 50)


def test_with_a_period_of_eight_epochs_the_factor_changes_at_every_epoch():
    one = phase({"type": "cyclical", "period_epochs": 8, "base_lr": 1e-4})
    root = sqrt(0.1)
    factors = [1, root, 0.1, 0.1 * root, 0.01, 0.1 * root, 0.1, root]
    got = rates(one, 16, 5)
    assert got == pytest.approx([1e-4 * f for f in factors * 2 for _ in range(5)], rel=1e-12)


def test_a_short_period_changes_the_factor_inside_epochs_and_still_shows_all_eight():
    one = phase({"type": "cyclical", "period_epochs": 1, "base_lr": 1.0})
    got = rates(one, 1, 16)
    assert got[::2] == got[1::2]
    assert min(got) == pytest.approx(0.01)
    assert len(set(got)) == 5


def test_the_base_rate_defaults_to_the_optimizers():
    assert learning_rate(phase({"type": "cyclical"}, lr=0.3), 0, 7) == 0.3
