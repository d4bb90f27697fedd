"""Trials that differ in the seed alone: trained together first, then finished one by one.

Training together is a job of its own, whose only result is what it leaves in the run folders of the
trials: checkpoints up to their last epoch. Each trial then goes on from there as it would after any
interruption. So it does not matter to a trial, or to the store, how a group ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from qdeploy.study import store as states
from qdeploy.study.grid import Trial
from qdeploy.study.trial import Job, Member
from qdeploy.training.group.eligible import MOST, group_key


class Groups:
    """The groups of a study.

    Args:
        trials: those that are not there yet, in the order in which they are done.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        alike: dict[tuple[str, bool], list[Trial]] = {}
        for trial in trials:
            key = group_key(trial.recipe)
            if key is not None:
                alike.setdefault((key, trial.start_from is None), []).append(trial)
        self.members: dict[str, list[Trial]] = {}
        for family in alike.values():
            for first in range(0, len(family), MOST):
                some = family[first : first + MOST]
                if len(some) > 1:
                    self.members[f"group {some[0].key}"] = some
        self._of = {one.key: name for name, some in self.members.items() for one in some}
        self._over: set[str] = set()
        self._shares: dict[str, float] = {}

    def in_order(self, names: Sequence[str]) -> list[str]:
        """The names of trials and others, with each group before the first of its trials."""
        found: dict[str, None] = {}
        for name in names:
            if name in self._of:
                found.setdefault(self._of[name])
            found[name] = None
        return list(found)

    def hold(self, trial: str) -> bool:
        """Whether a trial waits for its group."""
        return trial in self._of and self._of[trial] not in self._over

    def job(
        self, name: str, like: Job, known: Mapping[str, str], has_run: Callable[[str], bool]
    ) -> Job | None:
        """The job of a group whose trials can begin; None while some wait for what they start from.

        Args:
            like: of any trial of the study.
            known: address -> state of all trials.
            has_run: whether there is the run folder that a trial starts from.
        """
        some = [one for one in self.members[name] if known.get(one.key) == states.WAITING]
        before = [None if one.start_from is None else known.get(one.start_from) for one in some]
        if states.WAITING in before:
            return None
        ready = [
            Member(one.key, one.recipe.model_dump_json(), _source(one, has_run))
            for one, state in zip(some, before, strict=True)
            if state in (None, states.DONE)
        ]
        together = [asdict(one) for one in ready]
        return replace(
            like, address=name, recipe="", start_from=None, again=False, together=together
        )

    def end(self, name: str, seconds: float = 0.0) -> None:
        """A group is over, after so many seconds: its trials may begin."""
        self._over.add(name)
        some = self.members[name]
        self._shares.update({one.key: seconds / len(some) for one in some})

    def share(self, trial: str) -> float:
        """Seconds of a trial that went into its group."""
        return self._shares.get(trial, 0.0)


def _source(trial: Trial, has_run: Callable[[str], bool]) -> str | None:
    if trial.start_from is None or not has_run(trial.start_from):
        return None
    return trial.start_from
