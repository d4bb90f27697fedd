"""Running a study: what is missing is trained, in an order in which nothing waits in vain.

A trial starts when what it starts from is done. One that fails or diverges is recorded, and the
study goes on; a worker that is lost is replaced, and its trial goes on from its last checkpoint,
`MOST_LOST` times at most. Trials that differ in the seed alone are trained together where they can
be (`groups`).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from qdeploy.errors import StudyError
from qdeploy.folder_lock import LOCK_FILE, holder_of
from qdeploy.observer import ignore
from qdeploy.study import store as states
from qdeploy.study.grid import Plan, Trial
from qdeploy.study.groups import Groups
from qdeploy.study.machine import USUAL_MIB
from qdeploy.study.pool import Ended, Pool
from qdeploy.study.store import Outcome, Store
from qdeploy.study.trial import DIVERGED, FULL, LOCKED, OK, RUNS, Job, Reply

MOST_LOST = 3
_LOOK = 0.25  # seconds between two looks at what runs
_LOCKED_PAUSE = 2.0
_MOST_LOCKED = 30  # times; of a machine that is not this one, and may be gone


@dataclass(frozen=True)
class Running:
    """A job that runs: what it is, since when, and its last words."""

    label: str
    seconds: float
    note: str


@dataclass(frozen=True)
class Progress:
    """How far a study is; `left` in seconds, None while nothing is known."""

    total: int
    done: int
    failed: int
    running: list[Running]
    left: float | None


def _ignore(_progress: Progress) -> None: ...


@dataclass(frozen=True)
class StudyObserver:
    """What a caller hears: sentences, and a few times a second how far it is."""

    note: Callable[[str], None] = ignore
    update: Callable[[Progress], None] = _ignore


@dataclass
class Engine:
    """A study while it runs; `run` it once.

    Args:
        folder: of the store and of the run folders.
        data: folder of the data sets.
        board: build the hardware of quantized networks for it.
        again: addresses of trials that begin anew; they are trained one by one.
        one_by_one: train nothing together.
    """

    plan: Plan
    store: Store
    pool: Pool
    folder: Path
    jobs: int
    data: Path | None = None
    board: str | None = None
    again: frozenset[str] = frozenset()
    one_by_one: bool = False
    observer: StudyObserver = field(default_factory=StudyObserver)

    def run(self) -> None:
        """Until nothing is left to do.

        Raises:
            StudyError: a disk is full; what is finished stays.
        """
        self._states = self.store.states()
        self._labels = {c.trial: f"{c.network} {c.variant} seed {c.seed}" for c in self.plan.cells}
        self._lost: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._told: Counter[str] = Counter()
        self._costs = self.store.costs()
        todo = {
            key: trial
            for key, trial in self.plan.trials.items()
            if self._states.get(key) == states.WAITING
        }
        self._jobs: dict[str, Job] = {key: self._job(trial) for key, trial in todo.items()}
        self._total = len(self.plan.trials)
        if self.board is not None:
            self._add_builds(self.board)
        alike = [] if self.one_by_one else [t for t in todo.values() if t.key not in self.again]
        self._groups = Groups(alike)
        for name, some in self._groups.members.items():
            seeds = ", ".join(str(one.recipe.seed) for one in some)
            self._labels[name] = f"{self._label(some[0].key).split(' seed ')[0]} seeds {seeds}"
        self._waiting = self._groups.in_order(list(self._jobs))
        try:
            while self._waiting or self._began:
                self._start_ready()
                for ended in self.pool.wait(_LOOK):
                    self._end(ended)
                self.observer.update(self._progress())
        finally:
            self.pool.close()

    def _job(self, trial: Trial) -> Job:
        return Job(
            address=trial.key,
            folder=str(self.folder.resolve()),
            recipe=trial.recipe.model_dump_json(),
            data=None if self.data is None else str(self.data.resolve()),
            start_from=trial.start_from,
            again=trial.key in self.again,
        )

    def _add_builds(self, board: str) -> None:
        """Hardware of the first seed of each network and variant, if that is all integers."""
        made = self.store.builds(board)
        first: set[tuple[str, str]] = set()
        for cell in self.plan.cells:
            place = (cell.network, cell.variant)
            if cell.trial is None or cell.floating or place in first:
                continue
            first.add(place)
            trial = self.plan.trials[cell.trial]
            bits = trial.recipe.quantization
            if "float" in (bits.weight_bits, bits.activation_bits):
                continue
            options = dict(self.plan.networks[cell.network].export)
            key = json.dumps(options, sort_keys=True)
            if made.get((cell.trial, key), {}).get("state") == states.DONE:
                continue
            job = Job(
                address=cell.trial,
                folder=str(self.folder.resolve()),
                recipe="",
                data=None if self.data is None else str(self.data.resolve()),
                board=board,
                options={str(name): value for name, value in options.items()},
            )
            self._jobs[job.id] = job
            self._labels[job.id] = f"{self._labels[cell.trial]} on {board}"
            self._total += 1

    def _start_ready(self) -> None:
        now = time.monotonic()
        for name in list(self._waiting):
            if self._groups.hold(name) or not self._prepared(name):
                continue
            job = self._jobs[name]
            before = job.start_from if job.board is None else job.address
            state = states.DONE if before is None else self._states.get(before)
            if state in (states.FAILED, states.DIVERGED):
                self._waiting.remove(name)
                self._record(job, Outcome(states.FAILED, error=f"what it starts from {state}"))
                continue
            if state != states.DONE or now < self._not_before.get(name, 0.0):
                continue
            mib = max([peak or 0.0 for _, peak in self._costs.values()], default=0.0) or USUAL_MIB
            if not self.pool.room(mib):
                return
            if job.start_from is not None and not self._has_run(job.start_from):
                # Its folder was removed: the phases are trained again, to the same weights.
                job = self._jobs[name] = Job(**{**job.__dict__, "start_from": None})
            self._waiting.remove(name)
            self._began[name] = now
            self.pool.start(job, mib)

    def _prepared(self, name: str) -> bool:
        """Whether a job is there; that of a group is made when its trials can begin."""
        if name not in self._groups.members:
            return True
        like = next(iter(self._jobs.values()))
        job = self._groups.job(name, like, self._states, self._has_run)
        if job is not None and len(job.together) < 2:
            self._waiting.remove(name)
            self._groups.end(name)
        elif job is not None:
            self._jobs[name] = job
            return True
        return False

    def _has_run(self, address: str) -> bool:
        return (self.folder / RUNS / address / "summary.json").is_file()

    def _end(self, ended: Ended) -> None:
        job = self._jobs[ended.id]
        del self._began[ended.id]
        reply = ended.reply
        if reply is None:
            self._lost[ended.id] += 1
            self._say(f"the worker of {self._label(ended.id)} was lost ({ended.words})")
            self._unlock(job)
            if self._lost[ended.id] < MOST_LOST:
                self._waiting.insert(0, ended.id)
                return
            if job.together:
                self._groups.end(ended.id)
                return
            error = f"its worker was lost {MOST_LOST} times, last by {ended.words}"
            self._record(job, Outcome(states.FAILED, error=error))
        elif reply.kind == FULL:
            raise StudyError(
                "the disk is full",
                where=str(self.folder),
                why=reply.error,
                do="make room on that disk, then run the study again: what is finished stays, and "
                "unfinished trials go on from their last checkpoint",
            )
        elif job.together:
            if reply.error:
                why = reply.error.strip().splitlines()[0]
                self._say(f"{self._label(ended.id)} are trained one after another: {why}")
            self._groups.end(ended.id, reply.seconds)
        elif reply.kind == LOCKED:
            self._told[ended.id] += 1
            if self._told[ended.id] == 1:
                self._say(f"{self._label(ended.id)} waits: {reply.error}")
            holder = holder_of(job.run / LOCK_FILE)
            if self._told[ended.id] > _MOST_LOCKED and holder is not None and not holder.here:
                raise StudyError(f"{self._label(ended.id)} cannot be trained: {reply.error}")
            self._not_before[ended.id] = time.monotonic() + _LOCKED_PAUSE
            self._waiting.append(ended.id)
        else:
            outcome = _outcome(reply)
            share = self._groups.share(job.address) if job.board is None else 0.0
            self._record(job, replace(outcome, seconds=(outcome.seconds or 0.0) + share))

    def _unlock(self, job: Job) -> None:
        """Remove the lock of a worker on another machine, which the pool says is gone: from here
        nobody else could tell."""
        for lock in (run / LOCK_FILE for run in job.runs):
            holder = holder_of(lock)
            if holder is not None and not holder.here:
                self._say(f"its lock is removed: {holder.sentence}")
                lock.unlink(missing_ok=True)

    def _record(self, job: Job, outcome: Outcome) -> None:
        if outcome.state != states.DONE:
            text = outcome.error.strip().splitlines()[0] if outcome.error else ""
            self._say(f"{self._label(job.id)} {outcome.state}: {text}")
        if job.board is None:
            self.store.finish(job.address, outcome)
            if outcome.state == states.DONE and outcome.seconds:
                self._costs[job.address] = (outcome.seconds, outcome.peak_mib)
        else:
            options = json.dumps(job.options, sort_keys=True)
            self.store.finish_build(job.address, job.board, options, outcome)
        self._states[job.id] = outcome.state

    def _say(self, text: str) -> None:
        self.observer.note(text)

    def _label(self, name: str) -> str:
        return self._labels.get(name) or f"float training {name[:8]}"

    def _progress(self) -> Progress:
        notes, now = self.pool.notes(), time.monotonic()
        running = [
            Running(self._label(name), now - since, notes.get(name, ""))
            for name, since in self._began.items()
        ]
        ours = [self._states.get(name) for name in {*self.plan.trials, *self._jobs}]
        done = ours.count(states.DONE)
        failed = ours.count(states.FAILED) + ours.count(states.DIVERGED)
        return Progress(self._total, done, failed, running, self._left(now))

    def _left(self, now: float) -> float | None:
        """Seconds, by the trials of these networks that are done, or by all of the plan."""
        known: dict[str, list[float]] = {}
        for key, trial in self.plan.trials.items():
            if key in self._costs:
                known.setdefault(_kind(trial), []).append(self._costs[key][0])
        everything = [one for group in known.values() for one in group]
        if not everything:
            return None
        total = 0.0
        for name in [*self._waiting, *self._began]:
            if name in self._groups.members:  # its trials wait, and count
                total -= now - self._began.get(name, now)
                continue
            waiting = self.plan.trials.get(name)
            group = known.get(_kind(waiting)) if waiting is not None else None
            cost = sum(group or everything) / len(group or everything)
            cost -= self._groups.share(name) + now - self._began.get(name, now)
            total += max(0.0, cost)
        return max(0.0, total) / min(self.jobs, max(1, len(self._waiting) + len(self._began)))


def _kind(trial: Trial) -> str:
    """Trials of one kind take about the same time."""
    recipe = trial.recipe
    return repr((recipe.network, recipe.data, [phase.epochs for phase in recipe.phases]))


def _outcome(reply: Reply) -> Outcome:
    state = {OK: states.DONE, DIVERGED: states.DIVERGED}.get(reply.kind, states.FAILED)
    return Outcome(state, reply.result, reply.error, reply.seconds, reply.peak_mib, reply.maker)
