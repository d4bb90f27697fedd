"""Several processes of one training, as torchrun starts them, but each one held by the test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 240


def start(count: int, *words: str) -> list[subprocess.Popen[str]]:
    """`qdeploy WORDS` in `count` processes that find one another."""
    common = {
        **_environment(),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": _free_port(),
        "WORLD_SIZE": str(count),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-m", "qdeploy", *words],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def torchrun(count: int, *words: str) -> subprocess.Popen[str]:
    """`qdeploy WORDS` under torchrun."""
    launcher = ["torch.distributed.run", "--nproc-per-node", str(count)]
    launcher += ["--master-port", _free_port()]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "-m", "qdeploy", *words],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each; none is left running."""
    try:
        results = []
        for process in processes:
            _, errors = process.communicate(timeout=PATIENCE)
            results.append((process.returncode, errors))
        return results
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def wait_for(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Until `path` exists."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        assert all(process.poll() is None for process in processes), "a process ended too early"
        time.sleep(0.002)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
