"""What a program in C takes, before it is compiled: `plan.json`, and budgets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE
from qdeploy.codegen.c.depth_first import unpacked, unpacked_alone
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.codegen.c.staging import RUN_BYTES
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.streaming import Stream
from qdeploy.errors import DoesNotFitError
from qdeploy.ir.integer_graph import Conv

# Layers that a message names.
_NAMED = 3


@dataclass(frozen=True)
class Budgets:
    """Bytes that a network may take, None without a limit."""

    flash: int | None = None
    ram: int | None = None


def plan_record(
    program: Program,
    prefix: str,
    mcu: str,
    optimize: str = BALANCED,
    budgets: Budgets = Budgets(),
) -> dict[str, Any]:
    """As in `plan.json`: bytes, for each step its layer and what lives while it runs, and for each
    buffer where it lies, and from which step to which."""
    memory, streams = program.memory, [_stream_record(program, one) for one in program.streams]
    placed = sorted(memory.buffers, key=lambda one: (memory.offsets[one.name], one.first))
    return {
        "prefix": prefix,
        "mcu": mcu,
        "optimize": optimize,
        "flash_budget": budgets.flash,
        "ram_budget": budgets.ram,
        "arena": memory.size,
        "arena_bound": memory.bound,
        "constants": sum(constants_of(step) for step in program.steps),
        "steps": [
            {
                "layer": step.layer,
                "kind": type(step.node).__name__,
                "result": step.result.name,
                "live_bytes": memory.live[number],
                "constant_bytes": constants_of(step),
            }
            for number, step in enumerate(program.steps)
        ],
        "streams": streams,
        "buffers": [
            {
                "name": one.name,
                "offset": memory.offsets[one.name],
                "bytes": one.bytes,
                "first": one.first,
                "last": one.last,
            }
            for one in placed
        ],
    }


def _stream_record(program: Program, stream: Stream) -> dict[str, Any]:
    """What runs row by row, what is held of it, and its price: weights are unpacked again."""
    steps = program.steps[stream.first : stream.last + 1]
    whole = program_of(program.graph, replace(program.choices, streamed=False))
    return {
        "first": stream.first,
        "last": stream.last,
        "band": stream.band,
        "rings": [{"map": name, "rows": rows} for name, rows in stream.rings.items()],
        "weights": sum(step.node.weights.size for step in steps if isinstance(step.node, Conv)),
        "unpacked_weights": unpacked(program.steps, stream),
        "unpacked_weights_without": sum(
            unpacked_alone(step) for step in whole.steps[stream.first : stream.last + 1]
        ),
        "arena_without": whole.memory.size,
    }


def constants_of(step: Step) -> int:
    """Bytes of a step's weights, thresholds and biases; weights of straight code are code."""
    weights = 0 if step.weights is None or step.straight else int(step.weights.data.size)
    runs = 0 if step.staging is None else RUN_BYTES * len(step.staging.runs)
    finishes = [step.finish]
    if step.fused is not None:
        mapped = step.fused.mapped
        finishes += [step.fused.finish, None if mapped is None else mapped.finish]
    return weights + runs + sum(one.flash for one in finishes if one is not None)


def check_budgets(program: Program, budgets: Budgets) -> None:
    """Whether constants and arena are within budgets.

    Raises:
        DoesNotFitError: names the layers that take most.
    """
    flash, ram = budgets.flash, budgets.ram
    steps, live = program.steps, program.memory.live
    constants = [constants_of(step) for step in steps]
    if flash is not None and sum(constants) > flash:
        raise DoesNotFitError(
            f"weights, thresholds and biases take {sum(constants):,} bytes, --flash is {flash:,}",
            where=_largest(steps, constants),
            why="that is without the code, some 4,000 bytes more",
            do=_less_flash(program, flash),
        )
    if ram is not None and program.memory.size > ram:
        raise DoesNotFitError(
            f"the arena takes {program.memory.size:,} bytes, --ram is {ram:,}",
            where=_largest(steps, list(live)),
            why="what these layers read and write lives at the same time",
            do=_less_ram(program, ram),
        )


def check_measured(program: Program, budgets: Budgets, core: str, flash: int, ram: int) -> None:
    """Whether what a core was seen to take is within budgets.

    Args:
        flash: bytes of code and constants.
        ram: bytes of arena, input, result and stack.

    Raises:
        DoesNotFitError: names the layers that take most.
    """
    steps = program.steps
    if budgets.flash is not None and flash > budgets.flash:
        constants = [constants_of(step) for step in steps]
        raise DoesNotFitError(
            f"code and constants take {flash:,} bytes on {core}, --flash is {budgets.flash:,}",
            where=_largest(steps, constants),
            why=f"weights, thresholds and biases are {sum(constants):,} of them",
            do=_less_flash(program, budgets.flash - flash + sum(constants)),
        )
    if budgets.ram is not None and ram > budgets.ram:
        raise DoesNotFitError(
            f"arena, input, result and stack take {ram:,} bytes on {core}, "
            f"--ram is {budgets.ram:,}",
            where=_largest(steps, list(program.memory.live)),
            why=f"the arena is {program.memory.size:,} of them",
            do=_less_ram(program, budgets.ram - ram + program.memory.size),
        )


def _less_flash(program: Program, flash: int) -> str:
    steps = program_of(program.graph, OPTIMIZE["flash"]).steps
    least = sum(constants_of(step) for step in steps)
    fewer = "train with fewer weight bits or a narrower network"
    if least >= sum(constants_of(step) for step in program.steps):
        return fewer
    found = f"with --optimize flash they take {least:,}"
    return found if least <= flash else f"{fewer}; {found}"


def _less_ram(program: Program, ram: int) -> str:
    least = program_of(program.graph, OPTIMIZE["ram"]).memory.size
    narrower = "train a narrower network, or one with smaller maps in these layers"
    if least >= program.memory.size:
        return narrower
    found = f"with --optimize ram it takes {least:,}"
    return found if least <= ram else f"{narrower}; {found}"


def _largest(steps: tuple[Step, ...], sizes: list[int]) -> str:
    order = sorted(range(len(steps)), key=lambda number: -sizes[number])[:_NAMED]
    return ", ".join(f"`{steps[number].layer}` {sizes[number]:,}" for number in order)
