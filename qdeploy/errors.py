"""The one hierarchy of errors.

A `UserError` is a mistake a person can fix: the command line prints it without a traceback and
exits with code 2. An `InternalError` is a broken promise inside qdeploy: it keeps its traceback.
Each message says what is wrong, where, why, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean ...?`, the end of a sentence about an unknown name; empty if none is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


class QDeployError(Exception):
    """Base of every error qdeploy raises on purpose.

    Args:
        what: one sentence: what is wrong, with the names of the things involved.
        where: file, line, layer or option the sentence is about.
        why: the reason behind the rule, where it is not obvious.
        do: what the reader can do about it.
        expected: what would have been accepted there, such as a pattern of layers.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        do: str | None = None,
        expected: str | None = None,
    ) -> None:
        self.what, self.where, self.why, self.do = what, where, why, do
        self.expected = expected
        super().__init__(self.render())

    def render(self) -> str:
        """The message as printed, one labelled line for each part that is present.

        Names in it may come from anywhere: signs that a terminal takes for commands, and those that
        cannot be written, are replaced.
        """
        lines = [self.what]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("why", self.why),
            ("do this", self.do),
        ):
            if text:
                lines.append(f"  {label:<8} {text}")
        text = "\n".join(lines)
        return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


class UserError(QDeployError):
    """Something the caller can fix; exit code 2, no traceback."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe that cannot be read or does not make sense."""


class StudyError(UserError):
    """A study file, or a store of studies, that cannot be used."""


class DataError(UserError):
    """A data set that is missing, incomplete or damaged."""


class PluginError(UserError):
    """Code of the user's own that raised; the message has its traceback."""


class CheckpointError(UserError):
    """A run folder or checkpoint that cannot be used."""


class LockedError(UserError):
    """A folder that another process writes."""


class UnsupportedLayerError(UserError):
    """A layer, or a pattern of layers, that cannot become hardware."""


class FoldingError(UserError):
    """A folding that is not legal, or a rate that no legal folding reaches."""


class DoesNotFitError(UserError):
    """A design larger than the board's part."""


class BoardError(UserError):
    """An unknown or broken board description."""


class ToolMissingError(UserError):
    """A program outside Python (Verilator, Yosys, g++) is not on the PATH."""


class ToolFailedError(QDeployError):
    """A program outside Python ran and failed, or ended without its result."""


class OutOfMemoryError(ToolFailedError):
    """A program outside Python was ended for its memory, or could get no more."""


class VerificationError(QDeployError):
    """Two levels that must be bit-identical are not."""


class TrainingError(QDeployError):
    """A training that cannot go on, such as one whose loss is no longer finite."""


class InternalError(QDeployError):
    """A promise inside qdeploy was broken; please report it."""


class PassError(InternalError):
    """A lowering pass got a graph it does not take, or left one it promised not to leave."""
