"""A synthesized build that the rungs of the netlist share."""

from __future__ import annotations

import numpy as np
import pytest
from netlist_builds import synthesized

from qdeploy.verify.inputs import LadderInputs

FRAMES = np.random.default_rng(4).integers(0, 16, (8, 4))


@pytest.fixture(scope="session")
def netlist_inputs(tmp_path_factory: pytest.TempPathFactory) -> LadderInputs:
    """Not to be changed."""
    build = tmp_path_factory.mktemp("build")
    graph = synthesized(build)
    return LadderInputs(build, graph, None, FRAMES, tmp_path_factory.mktemp("cache"))
