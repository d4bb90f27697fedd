"""Learning rates.

    constant   lr
    step       lr · gamma**(number of milestones passed)
    cyclical   base_lr · CYCLE[k],   k = floor(8 · progress in the cycle)      appendix B

A cycle of the cyclical schedule has eight discrete factors; with a period of eight epochs, as for
CIFAR-10 in the paper, the factor changes at every epoch. Shorter periods change it inside epochs.
"""

from __future__ import annotations

from math import sqrt

from qdeploy.recipe.models import CyclicalSchedule, Phase, StepSchedule

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


def learning_rate(phase: Phase, step: int, steps_per_epoch: int) -> float:
    """The rate of a phase's `step`, counted from 0 at the start of the phase."""
    schedule = phase.schedule
    if isinstance(schedule, CyclicalSchedule):
        base = phase.optimizer.lr if schedule.base_lr is None else schedule.base_lr
        period = schedule.period_epochs * steps_per_epoch
        return base * CYCLE[(step % period) * len(CYCLE) // period]
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch
        passed = sum(epoch >= milestone for milestone in schedule.milestones)
        return float(phase.optimizer.lr * schedule.gamma**passed)
    return phase.optimizer.lr
