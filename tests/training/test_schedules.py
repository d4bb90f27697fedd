"""Learning rates against the paper's appendix B and section 5.2."""

from math import cos, pi, sqrt

import pytest
from pydantic import ValidationError

from qdeploy.recipe.models import Phase
from qdeploy.training.schedules import learning_rate


def phase(schedule: dict, lr: float = 0.1, warmup: int = 0) -> Phase:
    return Phase.model_validate(
        {
            "name": "x",
            "kind": "pretrain",
            "epochs": 200,
            "optimizer": {"lr": lr},
            "schedule": schedule,
            "warmup_epochs": warmup,
        }
    )


def rates(one: Phase, epochs: int, steps: int) -> list[float]:
    return [learning_rate(one, step, steps) for step in range(epochs * steps)]


def test_a_constant_rate_stays():
    assert set(rates(phase({"type": "constant"}), 5, 3)) == {0.1}


def test_steps_drop_after_their_epochs():
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


def test_a_polynomial_rate_falls_to_zero_at_the_end_of_the_phase():
    one = phase({"type": "polynomial"})
    got = rates(one, 200, 4)
    assert got == pytest.approx([0.1 * (1 - step / 800) ** 0.9 for step in range(800)], rel=1e-12)
    assert learning_rate(one, 19, 10, epochs=2) == pytest.approx(0.1 * 0.05**0.9)


def test_a_cosine_falls_from_the_rate_to_the_lowest_one_and_is_halfway_in_the_middle():
    one = phase({"type": "cosine", "min_lr": 0.02})
    got = rates(one, 200, 4)
    assert got == pytest.approx([0.06 + 0.04 * cos(pi * step / 800) for step in range(800)])
    assert (got[0], got[400]) == pytest.approx((0.1, 0.06))
    assert learning_rate(one, 20, 10, epochs=2) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ({"type": "constant"}, [0.1] * 780),
        ({"type": "step", "milestones": [7]}, [0.1] * 8 + [0.01] * 772),
        ({"type": "polynomial"}, [0.1 * (1 - step / 780) ** 0.9 for step in range(780)]),
        ({"type": "cosine"}, [0.05 + 0.05 * cos(pi * step / 780) for step in range(780)]),
    ],
)
def test_a_warm_up_rises_linearly_and_the_schedule_follows(schedule, after):
    got = rates(phase(schedule, warmup=5), 200, 4)
    assert got[:20] == pytest.approx([0.005 * (step + 1) for step in range(20)])
    assert got[20:] == pytest.approx(after)


@pytest.mark.parametrize(("highest", "lowest"), [(1e-3, 1e-5), (1e-2, 1e-5)])
def test_bounds_of_a_cycle_are_reached_in_equal_ratios(highest, lowest):
    one = phase({"type": "cyclical", "max_lr": highest, "min_lr": lowest})
    by_epoch = rates(one, 16, 1)
    ratio = (lowest / highest) ** 0.25
    half = [highest * ratio**k for k in range(5)]
    assert by_epoch == pytest.approx((half + half[3:0:-1]) * 2, rel=1e-12)
    assert (max(by_epoch), min(by_epoch)) == pytest.approx((highest, lowest))


def test_bounds_a_hundred_apart_are_the_factors_of_appendix_b():
    bounds = phase({"type": "cyclical", "max_lr": 1e-3, "min_lr": 1e-5})
    factors = phase({"type": "cyclical", "base_lr": 1e-3})
    assert rates(bounds, 8, 1) == pytest.approx(rates(factors, 8, 1), rel=1e-12)


def test_a_cycle_can_be_counted_in_steps():
    one = phase({"type": "cyclical", "base_lr": 1.0, "period_steps": 3000})
    got = [learning_rate(one, step, 91) for step in range(0, 6000, 375)]
    assert got == [learning_rate(one, step, 91) for step in range(374, 6000, 375)]
    assert got[:8] == got[8:] == rates(phase({"type": "cyclical", "base_lr": 1.0}), 8, 1)


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_lr": 1e-3},
        {"min_lr": 1e-3},
        {"max_lr": 1e-5, "min_lr": 1e-3},
        {"max_lr": 1e-3, "min_lr": 1e-5, "base_lr": 1e-3},
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds):
    with pytest.raises(ValidationError, match="a cyclical schedule"):
        phase({"type": "cyclical", **bounds})
