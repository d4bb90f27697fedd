"""Learning rates.

    constant   lr
    step       lr · gamma**(number of milestones passed)
    polynomial lr · (1 - step / steps of the phase)**power         DeepLab's policy (section 5.1)
    cosine     min_lr + (lr - min_lr) · (1 + cos(π · step / steps)) / 2   Loshchilov and Hutter 2017
    transition for all but weights, as cosine to 0 (see `transitions`)        Lee et al. 2025
    cyclical   base_lr · CYCLE[k],   k = floor(8 · progress in the cycle)      appendix B
               max_lr · (min_lr / max_lr)**SHARES[k]                           sections 4.2 and 5.4

The factors of appendix B are for bounds a factor of 100 apart: section 5.4's 1e-3 to 1e-5 is
`base_lr: 1e-3`; section 4.2's 100 and 0.1 times the last rate are a `max_lr` and a `min_lr`.

A cycle of the cyclical schedule has eight discrete factors; with a period of eight epochs, as for
CIFAR-10 in the paper, the factor changes at every epoch. Shorter periods change it within epochs.

In front of the others, w steps of warm-up have the rates lr · (step + 1) / w. `polynomial` and
`cosine` then count steps from the end of the warm-up, `step` counts its milestones from the start
of the phase as ever.
"""

from __future__ import annotations

from math import cos, pi, sqrt

from qdeploy.recipe.models import Phase
from qdeploy.recipe.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    PolynomialSchedule,
    StepSchedule,
    TransitionSchedule,
)

CYCLE = (
    1.0,
    sqrt(0.1),
    0.1,
    0.1 * sqrt(0.1),
    0.01,
    0.1 * sqrt(0.1),
    0.1,
    sqrt(0.1),
)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25)


def learning_rate(
    phase: Phase, step: int, steps_per_epoch: int, epochs: int | None = None
) -> float:
    """The rate at a `step`, counted from 0 at the start of the phase.

    `epochs` is the length of the phase, where it differs from what the phase itself says.
    """
    schedule = phase.schedule
    if isinstance(schedule, CyclicalSchedule):
        period = schedule.period_steps or schedule.period_epochs * steps_per_epoch
        return _cycle(phase, schedule)[(step % period) * len(CYCLE) // period]
    warmup = phase.warmup_epochs * steps_per_epoch
    lr = phase.optimizer.lr
    if step < warmup:
        return float(lr * (step + 1) / warmup)
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch
        passed = sum(epoch >= milestone for milestone in schedule.milestones)
        return float(lr * schedule.gamma**passed)
    done = (step - warmup) / ((epochs or phase.epochs) * steps_per_epoch - warmup)
    if isinstance(schedule, PolynomialSchedule):
        return float(lr * (1.0 - done) ** schedule.power)
    if isinstance(schedule, CosineSchedule):
        return float(schedule.min_lr + (lr - schedule.min_lr) * (1.0 + cos(pi * done)) / 2)
    if isinstance(schedule, TransitionSchedule):
        return float(lr * (1.0 + cos(pi * done)) / 2)
    return lr


def _cycle(phase: Phase, schedule: CyclicalSchedule) -> list[float]:
    """The eight rates of a cycle."""
    if schedule.max_lr is not None and schedule.min_lr is not None:
        ratio = schedule.min_lr / schedule.max_lr
        return [schedule.max_lr * ratio**share for share in SHARES]
    base = phase.optimizer.lr if schedule.base_lr is None else schedule.base_lr
    return [base * factor for factor in CYCLE]
