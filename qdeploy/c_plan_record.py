"""What `c/plan.json` of a build in C holds; see `build_records`."""

from __future__ import annotations

from typing import NotRequired

# pydantic needs this before Python 3.12.
from typing_extensions import TypedDict

from qdeploy.build_records import Count


class CStepRecord(TypedDict):
    """A step of `c/plan.json`; bytes."""

    layer: str
    kind: str
    result: str
    live_bytes: Count
    constant_bytes: Count


class CBufferRecord(TypedDict):
    """A buffer of `c/plan.json`: where it lies in the arena, from the first step to the last."""

    name: str
    offset: Count
    bytes: Count
    first: Count
    last: Count


class CRingRecord(TypedDict):
    """A map of which some rows are held."""

    map: str
    rows: Count


class CStreamRecord(TypedDict):
    """Steps that run row by row, both counted; weights that are unpacked in a frame, and were
    without it; bytes of the arena without any."""

    first: Count
    last: Count
    band: Count
    rings: list[CRingRecord]
    weights: Count
    unpacked_weights: Count
    unpacked_weights_without: Count
    arena_without: Count


class CPlanRecord(TypedDict):
    """`c/plan.json`; see `codegen.c.plan`."""

    prefix: str
    mcu: str
    optimize: NotRequired[str]
    flash_budget: NotRequired[Count | None]
    ram_budget: NotRequired[Count | None]
    arena: Count
    arena_bound: Count
    constants: Count
    steps: list[CStepRecord]
    streams: NotRequired[list[CStreamRecord]]
    buffers: list[CBufferRecord]
