"""The target `c`: C99 for any microcontroller, proven on this machine and under QEMU."""

from __future__ import annotations

from qdeploy.bounded import read_json
from qdeploy.build_folder import C_PLAN_PATH
from qdeploy.codegen.c.choices import load_choices
from qdeploy.codegen.c.program import program_of
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.c.package import make_package
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.target import Target
from qdeploy.tools import C_TOOLS


class CTarget(Target):
    """No board: `--mcu` says which core the sources are also run for."""

    name = "c"
    summary = "microcontrollers, in C99"
    tools = tuple(C_TOOLS)
    steps = ("lower", "frames", "score", "generate_c", "ladder", "package", "record")
    rungs = ("torch", "qonnx", "int", "c", "c-arm", "c-riscv")
    # What `make` and CMake leave.
    use_leaves = ("build/",)

    def accept_graph(self, graph: IntegerGraph) -> None:
        program_of(graph)

    def package(self, build: FinishedBuild) -> str:
        plan = read_json(build.folder / C_PLAN_PATH)
        program = program_of(build.graph, load_choices(plan["optimize"], plan["mcu"]))
        _, frames = make_package(build, plan, program)
        return f"{frames} golden frames; `make test` there runs the self-test on this machine"


TARGET = CTarget()
