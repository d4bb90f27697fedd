"""What a network in C takes on the cores that the rungs ran it on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from qdeploy.build_records import RungRecord, VerifyRecord
from qdeploy.c_plan_record import CPlanRecord
from qdeploy.report.page import number
from qdeploy.report.tables import Cells, print_table

CORE_HEAD = ("core", "flash", "RAM", "arena", "stack", "instructions", "MAC/instruction")
# Of a rung's details, in the order of `CORE_HEAD`.
_FIGURES = (
    "flash_bytes",
    "ram_bytes",
    "arena_bytes",
    "stack_bytes",
    "instructions_per_frame",
    "macs_per_instruction",
)
NOT_MEASURED = "no core was run: name one with --mcu"


def measured_cores(verify: VerifyRecord | None) -> list[RungRecord]:
    """The rungs that ran on a bare core, whose details have figures of it."""
    rungs = (verify or {}).get("rungs", [])
    return [one for one in rungs if "flash_bytes" in one.get("details", {})]


def core_rows(rungs: Sequence[RungRecord]) -> list[list[str]]:
    """Rows of `CORE_HEAD`; bytes, and instructions per frame."""
    return [
        [
            str(one["details"].get("core", one["name"])),
            *(number(one["details"].get(key)) for key in _FIGURES),
        ]
        for one in rungs
    ]


def print_cores(verify: VerifyRecord | None, plan: CPlanRecord, console: Console) -> None:
    """What the network takes on a core, as a table; or that none was run."""
    cores = measured_cores(verify)
    if not cores:
        text = f"Flash and RAM: {NOT_MEASURED}; constants {plan['constants']:,} bytes, "
        text += f"arena {plan['arena']:,} bytes"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        console.print()
        return
    rows: list[Cells] = [tuple(row) for row in core_rows(cores)]
    title = "On a core: bytes, and instructions per frame, which are no cycles  [QEMU]"
    print_table(title, CORE_HEAD, rows, right=range(1, len(CORE_HEAD)), console=console)


def arena_note(plan: CPlanRecord) -> str:
    """How good the plan of the memory is."""
    if plan["arena"] == plan["arena_bound"]:
        return "the least that these buffers allow"
    return f"no plan is below {plan['arena_bound']:,} B"
