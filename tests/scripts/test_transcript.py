"""The README's transcript: made from a real log, and only from a complete one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import qdeploy

SCRIPTS = Path(qdeploy.__file__).resolve().parent.parent / "scripts"
LOG = """Collecting torch
==> set-up is complete
==> qdeploy train r.yaml
float 1/3: loss 0.9, train 70.00%
float 2/3: loss 0.5, train 80.00%
float 3/3: loss 0.3, train 90.00%
==> qdeploy export runs/r
synthesis: 5 of 8 layers, 15.1 layers/min, 0:20 elapsed, 0:12 left hidden2_fc_dense_mvau
netlist: 2 of 7 layers, 3.8 layers/min, 0:31 elapsed, 1:19 left
Build folder: build/r
"""


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import transcript

    return transcript


def test_log_is_cut_to_the_demo_and_its_first_and_last_epoch(transcript: ModuleType) -> None:
    assert transcript.shortened(LOG).splitlines() == [
        "$ make demo",
        "==> set-up is complete",
        "==> qdeploy train r.yaml",
        "float 1/3: loss 0.9, train 70.00%",
        "…",
        "float 3/3: loss 0.3, train 90.00%",
        "==> qdeploy export runs/r",
        "Build folder: build/r",
    ]


def test_log_that_ended_early_is_refused(transcript: ModuleType) -> None:
    with pytest.raises(SystemExit, match="Build folder"):
        transcript.shortened(LOG.replace("Build folder", "Interrupted"))
