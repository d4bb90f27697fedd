"""Folders of builds for target `c`: files that reports read, with a real plan of the memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from random_graphs import small_resnet
from report_builds import BY_CLASS, TAG, write_rows

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE
from qdeploy.codegen.c.plan import plan_record
from qdeploy.codegen.c.program import program_of
from qdeploy.ir.file import write_graph

MEASURED = {
    "core": "cortex-m4",
    "instructions_per_frame": 1_234_567,
    "macs_per_instruction": 1.607,
    "flash_bytes": 31_200,
    "arena_bytes": 2_048,
    "static_bytes": 0,
    "stack_bytes": 316,
    "ram_bytes": 3_000,
}


def make_c_build(folder: Path, *, measured: bool = True, optimize: str = BALANCED) -> Path:
    """The folder of a build; `measured` on a core, or on this machine alone."""
    (folder / "c").mkdir(parents=True)
    graph = small_resnet(1).graph()
    program = program_of(graph, OPTIMIZE[optimize])
    write_graph(graph, folder / "model.graph.safetensors")
    by_step = [1000 + n for n, _ in enumerate(program.steps)]
    details = {**MEASURED, "instructions_by_step": by_step}
    core: dict[str, Any] = {"details": details} if measured else {"skipped": TAG}
    rungs = [
        {"name": "int", "frames": 9, "boundaries": 4, "codes": 500, "mismatches": 0},
        {"name": "c", "frames": 9, "boundaries": 4, "codes": 1_000, "mismatches": 0},
        {"name": "c-arm", "frames": 2, "boundaries": 4, "codes": 100, "mismatches": 0, **core},
    ]
    records: dict[str, Any] = {
        "c/plan": plan_record(program, "mine", "cortex-m4", optimize),
        "verify": {"passed": True, "rungs": rungs},
        "classes": BY_CLASS,
        "build": {
            "versions": {"qdeploy": "0.1.0"},
            "options": {"seed": 7, "source": "nowhere", "target": "c"},
            "accuracy_int": 0.98,
            "notes": [TAG],
        },
    }
    for name, data in records.items():
        (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "recipe.yaml").write_text(f"name: {TAG}\n", encoding="utf-8")
    write_rows(folder)
    return folder
