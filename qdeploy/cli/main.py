"""The command line's frame: which commands there are, and how an error is shown.

Commands are imported when they are called, not before: `qdeploy --help` answers at once although
the pipeline that they start takes seconds to load.

Exit codes: 0 done; 1 failed (a check that must hold does not, a tool broke, a fault in qdeploy);
2 something the user can fix; 130, 143 and 129 ended by SIGINT (Ctrl-C), SIGTERM and SIGHUP.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli import signals
from qdeploy.cli.extras import missing_extra
from qdeploy.cli.os_errors import refusal_of
from qdeploy.errors import InternalError, QDeployError
from qdeploy.lean_torch import leave_out_compiler
from qdeploy.parts import remove_own
from qdeploy.plugins import allow
from qdeploy.scratch import folder_of_process
from qdeploy.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PLUGINS = "QDEPLOY_PLUGINS"


@dataclass(frozen=True)
class Entry:
    """A command: `module:attribute` it lives at, and the line that `--help` shows for it."""

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("qdeploy.cli.init:init", "Write a commented recipe for data of one's own."),
    "train": Entry("qdeploy.cli.train:train", "Train the network of a recipe, phase by phase."),
    "quantize": Entry(
        "qdeploy.cli.quantize:quantize", "Quantize a float network without training it."
    ),
    "ensemble": Entry(
        "qdeploy.cli.ensemble:ensemble", "Make one network of several runs, which add up votes."
    ),
    "estimate": Entry(
        "qdeploy.cli.estimate:estimate", "Estimate rate and resources of a network on a board."
    ),
    "sweep": Entry("qdeploy.cli.sweep:sweep", "Estimate variants of a recipe: table and figure."),
    "study": Entry("qdeploy.cli.study:study", "Rerun the papers' tables and figures, or yours."),
    "analyze": Entry(
        "qdeploy.cli.analyze:analyze", "Show a trained network's noise, its growth and its size."
    ),
    "bits": Entry(
        "qdeploy.cli.bits:bits", "Choose bit widths by layer: sensitivity against LUTs on a board."
    ),
    "export": Entry(
        "qdeploy.cli.export:export", "Turn a trained run or a QONNX file into a verified package."
    ),
    "weights": Entry(
        "qdeploy.cli.weights:weights", "Write weights for a build that loads them at run time."
    ),
    "verify": Entry(
        "qdeploy.cli.verify:verify", "Run the same frames through every level of a build."
    ),
    "simulate": Entry(
        "qdeploy.cli.simulate:simulate", "Send frames through a build: accuracy, confusion matrix."
    ),
    "inspect": Entry(
        "qdeploy.cli.inspect:inspect", "Show what a file, run or build holds and what it becomes."
    ),
    "report": Entry(
        "qdeploy.cli.report:report", "Show a build or a run, and write its HTML report."
    ),
    "compare": Entry("qdeploy.cli.compare:compare", "Show runs and builds side by side."),
    "check": Entry("qdeploy.cli.check:check", "Hold a build to limits and to a baseline, for CI."),
    "ci": Entry("qdeploy.cli.ci:ci", "Write a workflow for a CI server."),
    "deploy": Entry(
        "qdeploy.cli.deploy:deploy", "Copy a package to its board and run the self-test there."
    ),
    "targets": Entry(
        "qdeploy.cli.targets:targets", "List the targets of `export`, and what each needs."
    ),
    "boards": Entry("qdeploy.cli.boards:boards", "List the boards, with what their parts have."),
    "recipes": Entry("qdeploy.cli.recipes:recipes", "List the recipes that come with qdeploy."),
    "doctor": Entry(
        "qdeploy.cli.doctor:doctor", "List what is installed, what is missing and how to get it."
    ),
}


@dataclass
class Settings:
    """Options of the whole program, shared by every command as the context's object."""

    debug: bool = False


class LazyGroup(click.Group):
    """A group whose commands are imported only when one of them is called."""

    def __init__(self, *, entries: Mapping[str, Entry], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a user meets them."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`; None when there is none."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        _make_torch_private()
        leave_out_compiler()
        module, attribute = entry.target.split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise InternalError(f"`{entry.target}` is not a command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin so, from the table too; options as click has them."""
        from click.shell_completion import CompletionItem

        if not incomplete.startswith("-"):
            return [
                CompletionItem(name, help=entry.help)
                for name, entry in self.entries.items()
                if name.startswith(incomplete)
            ]
        return click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table above: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


@click.group(
    cls=LazyGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="qdeploy")
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE",
    help="Let recipes, runs and builds name a module of yours, as `python:MODULE:function`; also "
    "the variable QDEPLOY_PLUGINS, with commas.",
)
@click.pass_obj
def qdeploy(settings: Settings, debug: bool, plugins: tuple[str, ...]) -> None:
    """From a recognition task to a proven low-bit accelerator on a small FPGA.

    Exit codes: 0 done; 1 a check failed or a tool broke; 2 something you can fix; 130, 143, 129
    ended by SIGINT (Ctrl-C), SIGTERM, SIGHUP.
    """
    settings.debug = debug
    wanted = [*plugins, *os.environ.get(PLUGINS, "").split(",")]
    if any(wanted):
        # Processes that commands start have the same modules.
        os.environ[PLUGINS] = ",".join(filter(None, wanted))
        allow(wanted, lambda text: click.echo(text, err=True))


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run `command` with `arguments`, show what goes wrong on stderr, return the exit code."""
    settings = Settings()
    try:
        with signals.told():
            result = command.main(
                args=list(arguments), prog_name="qdeploy", standalone_mode=False, obj=settings
            )
    except QDeployError as error:
        return _show(error, settings.debug)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        missing.__cause__ = error
        return _show(missing, settings.debug)
    except OSError as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        refusal.__cause__ = error
        return _show(refusal, settings.debug)
    except (click.Abort, KeyboardInterrupt):
        signals.arrived()
        signals.say()
        return signals.exit_code()
    if signals.heard():
        return signals.exit_code()
    return result if isinstance(result, int) else 0


def _show(error: QDeployError, debug: bool) -> int:
    """Print an error as its kind asks for: a traceback where the fault is qdeploy's."""
    if debug or isinstance(error, InternalError):
        traceback.print_exception(error, file=sys.stderr)
    print(f"error: {error.render()}", file=sys.stderr)
    if isinstance(error, InternalError):
        print("This is a fault in qdeploy: please report it with the lines above.", file=sys.stderr)
    return error.exit_code


def _make_torch_private() -> None:
    """Give torch a private folder for what it compiles.

    By itself it makes one when it is loaded, under a name that anybody could have taken before.
    """
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder_of_process("torch"))


def _quieten() -> None:
    """Drop what other packages say about themselves, unless Python was told to show warnings."""
    # With a CUDA compiler but no such device, importing brevitas would say so on every command.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if not sys.warnoptions:
        for category in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.filterwarnings(
                "ignore", category=category, module=r"(torch|brevitas|finn|qonnx|onnx)(\.|$)"
            )
        # Said when a module is compiled, of which Python then knows the path only: Python 3.12 of
        # docstrings, where modules were not compiled when they were installed.
        warnings.filterwarnings(
            "ignore", category=SyntaxWarning, module=r".*/(torch|brevitas|finn|qonnx|onnx)/"
        )


def main() -> None:
    """Load and run the command that the arguments name, and end the process."""
    signals.listen()
    code = None
    with signals.Ending():
        _quieten()
        code = run(qdeploy, sys.argv[1:])
    signals.close_streams()
    code = signals.exit_code() if code is None else code
    if _in_a_lost_group():
        # gloo's threads still wait for the lost processes: Python's own end would abort in them.
        remove_own()
        os._exit(code)
    sys.exit(code)


def _in_a_lost_group() -> bool:
    """Whether a data-parallel training ended without its processes leaving together."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available():
        return False
    return bool(distributed.is_initialized())


if __name__ == "__main__":
    main()
