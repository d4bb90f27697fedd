"""A worker: takes jobs, a line of JSON each, and answers with lines of JSON.

    python -m qdeploy.study.worker [MODULE …]

It ends when its input does, in the middle of a job too: a worker never outlives who started it,
and what it had written is complete. The modules are those that recipes may name (`--plugin`).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading

from qdeploy.lean_torch import leave_out_compiler
from qdeploy.plugins import allow
from qdeploy.study.trial import Job, reply_text, run


def main(modules: list[str]) -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what packages print is no answer
    leave_out_compiler()
    if modules:
        allow(modules, lambda _text: None)
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        job = Job(**json.loads(jobs.get()))

        def hear(text: str) -> None:
            answers.write(json.dumps({"note": text}) + "\n")
            answers.flush()

        answers.write(reply_text(run(job, hear)) + "\n")
        answers.flush()


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
