"""What runs jobs: workers on this machine, or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qdeploy.study.trial import Job, Reply


@dataclass(frozen=True)
class Ended:
    """A job that is over.

    Args:
        id: of the job.
        reply: None where its worker was lost.
        words: the last ones of a worker that was lost.
    """

    id: str
    reply: Reply | None
    words: str = ""


class Pool(Protocol):
    """Runs jobs at once, each by itself."""

    def room(self, mib: float) -> bool:
        """Whether one more job can start, which takes `mib` of memory."""

    def start(self, job: Job, mib: float) -> None:
        """Start a job; there has to be room."""

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that are over, after `seconds` at most."""

    def notes(self) -> dict[str, str]:
        """Id of a running job -> the last sentence of it that was heard."""

    def close(self) -> None:
        """End what still runs."""
