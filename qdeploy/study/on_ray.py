"""A Ray cluster as the pool: each job is a task with its cores and memory.

The cluster is one that runs already (`ray start`, a cluster file, Slurm). Its machines see the
store's folder under the same path, because run folders are written there by whoever trains them;
the store itself is written by this process only, so it may be on a disk that no other one locks.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qdeploy.errors import StudyError
from qdeploy.plugins import allow
from qdeploy.study.pool import Ended
from qdeploy.study.trial import Job, Reply, reply_text, run

_SECONDS = 5.0


def run_text(job: dict[str, Any], modules: list[str]) -> str:
    """Do a job in a Ray worker; the reply as text."""
    if modules:
        allow(modules, lambda _text: None)
    return reply_text(run(Job(**job), lambda _text: None))


def _answers(address: str) -> None:
    """Ask whether somebody listens at `address`, HOST:PORT; anything else is left to Ray.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()


class RayPool:
    """Jobs on the cluster that Ray finds by `address`.

    Args:
        jobs: at once; None for as many as the cluster has cores for.
        threads: cores of each job.
        modules: that recipes may name.
        address: of the cluster, as Ray takes it.

    Raises:
        StudyError: Ray is not installed, or there is no cluster.
    """

    def __init__(
        self,
        jobs: int | None,
        threads: int,
        modules: Sequence[str] = (),
        address: str = "auto",
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise StudyError(
                "Ray is not installed",
                where="--where ray",
                do="install it on every machine: pip install 'qdeploy[ray]'; or use --where local",
            )
        # Ray asks a cluster that is not there twenty times, for half a minute each.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        self._ray: Any = importlib.import_module("ray")
        try:
            _answers(address)
            self._ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise StudyError(
                "no Ray cluster is reachable",
                where=f"--where ray (address {address})",
                why=str(error).splitlines()[0],
                do="start one (`ray start --head` here, `ray start --address HOST:6379` on the "
                "others), or name it in the variable RAY_ADDRESS; docs/studies.md has the steps",
            ) from error
        self._task = self._ray.remote(run_text)
        self._threads, self._modules = threads, list(modules)
        cluster = int(self._ray.cluster_resources().get("CPU", 1))
        self._jobs = jobs or max(1, cluster // threads)
        self._running: dict[Any, str] = {}

    def room(self, mib: float) -> bool:
        """Whether fewer than the jobs run; Ray waits for cores and memory."""
        return len(self._running) < self._jobs

    def start(self, job: Job, mib: float) -> None:
        """Hand a job to the cluster. A worker that is lost is told, not tried again by Ray."""
        memory = int(mib * 2**20)
        task = self._task.options(num_cpus=self._threads, memory=memory, max_retries=0)
        self._running[task.remote(asdict(job), self._modules)] = job.id

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that are over, after `seconds` at most."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        over = []
        for reference in ready:
            job = self._running.pop(reference)
            try:
                over.append(Ended(job, Reply(**json.loads(self._ray.get(reference)))))
            except self._ray.exceptions.RayError as error:
                over.append(Ended(job, None, str(error).strip().splitlines()[0]))
        return over

    def notes(self) -> dict[str, str]:
        """Id of a job that was handed over -> nothing yet: workers elsewhere are not heard."""
        return dict.fromkeys(self._running.values(), "")

    def close(self) -> None:
        """Cancel what still runs, and leave the cluster."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()
