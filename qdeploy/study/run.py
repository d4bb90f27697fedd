"""`study run` without the command line: what is asked for, the lock, the plan, the pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qdeploy.data.fingerprint import fingerprint
from qdeploy.data.load import load_dataset
from qdeploy.data.own.facts import with_facts
from qdeploy.errors import StudyError
from qdeploy.folder_lock import locked
from qdeploy.recipe.models import Recipe
from qdeploy.study import store as states
from qdeploy.study.claims import check_claims
from qdeploy.study.engine import Engine, StudyObserver
from qdeploy.study.facts import read_facts
from qdeploy.study.files import Opened, ScaleName
from qdeploy.study.grid import Completed, expanded, plan
from qdeploy.study.local import LocalPool
from qdeploy.study.machine import most_jobs
from qdeploy.study.on_ray import RayPool
from qdeploy.study.pool import Pool
from qdeploy.study.store import opened as opened_store


@dataclass(frozen=True)
class Request:
    """What is asked of a run.

    Args:
        folder: of the store.
        data: folder of the data sets.
        jobs: trials at once; by the cores when None.
        board: whose hardware is built.
        retry: train again what failed or diverged.
        one_by_one: train no seeds together.
        modules: that recipes may name.
        address: of the Ray cluster.
    """

    scale: ScaleName
    folder: Path
    data: Path | None = None
    where: Literal["local", "ray"] = "local"
    jobs: int | None = None
    board: str | None = None
    retry: bool = False
    one_by_one: bool = False
    modules: tuple[str, ...] = ()
    address: str = "auto"


def run_study(
    opened: Opened, request: Request, observer: StudyObserver, pool: Pool | None = None
) -> None:
    """Train what is missing.

    Args:
        pool: runs the trials, in place of the one that is asked for.

    Raises:
        StudyError: the study, the store or the pool cannot be used, or the disk is full.
        LockedError: the same study runs already on this store.
    """
    study = opened.study
    if not study.trains:
        raise StudyError(
            f"the study `{opened.name}` trains nothing: it is drawn from the code",
            where=str(opened.path),
            do=f"show it: qdeploy study show {opened.name} --page FOLDER",
        )
    read_facts(study.facts, opened.path)
    check_claims(opened, list(expanded(opened)))
    lock = request.folder / f".{opened.name}.lock"
    request.folder.mkdir(parents=True, exist_ok=True)
    what = f"the study `{opened.name}` in `{request.folder}`"
    with locked(lock, what, "study run", observer.note):
        planned = plan(opened, request.scale, _completing(request.data))
        for note in planned.notes:
            observer.note(f"note: {note}")
        with opened_store(request.folder, make=True, note=observer.note) as store:
            store.plan(planned)
            again: frozenset[str] = frozenset()
            if request.retry:
                found = store.states()
                bad = (states.FAILED, states.DIVERGED)
                again = frozenset(k for k in planned.trials if found[k] in bad)
                store.forget(sorted(again))
            jobs = request.jobs or most_jobs(study.threads)
            if pool is not None:
                pass
            elif request.where == "ray":
                pool = RayPool(request.jobs, study.threads, request.modules, request.address)
            else:
                pool = LocalPool(jobs, request.modules)
            Engine(
                plan=planned,
                store=store,
                pool=pool,
                folder=request.folder,
                jobs=jobs,
                data=request.data,
                board=request.board,
                again=again,
                one_by_one=request.one_by_one,
                observer=observer,
            ).run()


def _completing(folder: Path | None) -> Callable[[Recipe], Completed]:
    """Adds what the data say; each data set is read once."""
    known: dict[str, str] = {}

    def complete(recipe: Recipe) -> Completed:
        data = recipe.data.model_copy(
            update={"augment": "none", "batch_size": 1, "validation": 0.0}
        )
        key = data.model_dump_json()
        if key not in known:
            known[key] = fingerprint(load_dataset(recipe.data, folder))
        return with_facts(recipe, folder), known[key]

    return complete
