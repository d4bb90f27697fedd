"""The step `generate_c`: the integer graph as C99 sources, with a plan of their memory."""

from __future__ import annotations

from qdeploy.artifacts import write_json
from qdeploy.build.options import Options
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import C_FOLDER, C_PLAN_PATH
from qdeploy.codegen.c.choices import load_choices
from qdeploy.codegen.c.cores import load_core
from qdeploy.codegen.c.generate import generate
from qdeploy.codegen.c.plan import Budgets, check_budgets, plan_record
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.text import check_prefix
from qdeploy.devices.boards import Board


class GenerateC(Step):
    """Writes `c/`, which rungs compile and the target packs."""

    name = "generate_c"
    after = ("lower",)

    def check(self, options: Options, board: Board | None) -> None:
        load_core(options.mcu)
        load_choices(options.optimize, options.mcu)
        check_prefix(options.prefix)

    def run(self, state: BuildState) -> None:
        options = state.options
        with state.observer.during("generate C") as say:
            program = program_of(
                made(state.graph, "lower"), load_choices(options.optimize, options.mcu)
            )
            budgets = Budgets(options.max_flash, options.max_ram)
            check_budgets(program, budgets)
            folder = state.folder / C_FOLDER
            folder.mkdir()
            generate(program, folder, options.prefix)
            record = plan_record(program, options.prefix, options.mcu, options.optimize, budgets)
            write_json(state.folder / C_PLAN_PATH, record)
            bound = (
                "the least there is"
                if record["arena"] == record["arena_bound"]
                else (f"at least {record['arena_bound']:,}")
            )
            say(
                f"{len(program.steps)} steps, {record['constants']:,} bytes of constants, "
                f"arena {record['arena']:,} bytes ({bound})"
            )
