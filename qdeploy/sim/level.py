"""How hard the C++ compiler tries on a model: compiling takes longer than running most of them."""

from __future__ import annotations

from qdeploy.design.manifest import Design

# From sources to the end of the run, in processor time. A convolutional design of three members
# compiled in 4.5 s at -O0, 6.8 s at -O1 and 9.9 s at -O3, and ran 146,000, 400,000 and 420,000
# cycles a second; a netlist of 11,000 cells compiled in 13 s and 25 s, and ran 28,000 and 90,000.
# ResNet-8's model is 1.8 times as fast at -O3 as at -O1 and compiles a quarter longer.
MEDIUM_RUN = 500_000
LONG_RUN = 20_000_000
# A build runs its golden frames with stalls and without, and layers alone on vectors.
RUNS_OF_A_FRAME = 3
DEFAULT_FRAMES = 100


def level_for(cycles: int) -> str:
    """Level for the C++ compiler of a model that runs for `cycles`."""
    if cycles > LONG_RUN:
        return "-O3"
    return "-O1" if cycles > MEDIUM_RUN else "-O0"


def level_of(design: Design, frames: int = DEFAULT_FRAMES) -> str:
    """Level for the model of `design` in a build of `frames` golden frames: one for all who
    simulate it, so that it is compiled once.
    """
    return level_for(RUNS_OF_A_FRAME * frames * design.cycles_per_frame)
