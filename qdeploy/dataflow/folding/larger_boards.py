"""What the next larger boards would reach: the folding solved for them, by estimate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.build_folder import BOARDS_FILE
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import Folding
from qdeploy.dataflow.folding.solver import solve
from qdeploy.devices.boards import Board, list_boards, load_board
from qdeploy.errors import QDeployError

# Sizes of parts to look at, and the solver's effort for each step: this is a hint, in seconds.
SIZES = 2
EFFORT_S = 1.0
SOURCE = "folding solved as fast as fits, measured block costs of Series 7; not synthesized"


@dataclass(frozen=True)
class BoardEstimate:
    """A network on a larger board, as fast as it is estimated to fit.

    Args:
        lut, ff, bram36, dsp: estimated usage.
        dma_bound: whether the input's bandwidth, not the folding, sets the rate.
    """

    board: str
    part: str
    clock_mhz: float
    cycles_per_frame: int
    fps: float
    lut: int
    ff: int
    bram36: float
    dsp: int
    dma_bound: bool


def larger_boards(board: Board) -> list[Board]:
    """Boards with more LUTs and no fewer DSP blocks, of the next sizes, smallest first."""
    known = [load_board(name) for name in list_boards()]
    mine = board.resources
    larger = [one for one in known if one.resources.lut > mine.lut]
    larger = [one for one in larger if one.resources.dsp >= mine.dsp]
    larger.sort(key=lambda one: (one.resources.lut, one.name))
    sizes = sorted({one.resources.lut for one in larger})[:SIZES]
    return [one for one in larger if one.resources.lut in sizes]


def estimate_larger_boards(folding: Folding, input_bits: int, board: Board) -> list[BoardEstimate]:
    """The network on larger boards.

    Args:
        folding: of the network on `board`; its search space is solved again.
        input_bits: per frame, as the DMA transfers it.
    """
    found = []
    for one in larger_boards(board):
        budget = Budget.of(one).limit()
        arriving = math.ceil(input_bits / one.dma_bits)
        legal = folding.legal
        solution = solve(legal.groups, legal.edges, budget, effort_s=EFFORT_S)
        if solution is None:
            continue
        bound = solution.cycles < arriving
        if bound:
            slower = solve(legal.groups, legal.edges, budget, arriving, effort_s=EFFORT_S)
            solution = slower or solution
        cycles = max(solution.cycles, arriving)
        usage = solution.usage
        found.append(
            BoardEstimate(
                board=one.name,
                part=one.part,
                clock_mhz=one.clock_mhz,
                cycles_per_frame=cycles,
                fps=one.clock_mhz * 1e6 / cycles,
                lut=usage.lut,
                ff=usage.ff,
                bram36=usage.bram18 / 2,
                dsp=usage.dsp,
                dma_bound=bound,
            )
        )
    return found


def write_boards(folder: Path, folding: Folding, input_bits: int, board: Board) -> str:
    """Write `boards.json` into `folder`; in a few words what it says. Never stops a build."""
    data: dict[str, Any] = {"board": board.name, "source": SOURCE, "boards": []}
    try:
        found = estimate_larger_boards(folding, input_bits, board)
        data["boards"] = [asdict(one) for one in found]
        if not found:
            data["note"] = f"no known board is larger than `{board.name}` in LUTs and DSP blocks"
    except QDeployError as error:
        data["note"] = error.what
    write_json(folder / BOARDS_FILE, data)
    if not data["boards"]:
        return str(data["note"])
    best = data["boards"][0]
    return f"about {best['fps']:,.0f} frames/s on {best['board']}"
