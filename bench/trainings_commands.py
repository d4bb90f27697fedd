"""The commands that made a trained network and its build, from what run and build record."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

# Where a flag differs from the option's name.
FLAGS = {"clock_mhz": "--clock", "synthesis": "--no-synthesis"}
ALWAYS = ("target", "board")
# Folders of the machine that built it; they change no figure.
PLACES = ("source", "data", "cache")


def train_command(recipe: str, settings: Mapping[str, Any]) -> str:
    """`recipe` below models/ with the settings of `training` that are not the defaults."""
    changed = [f"--set training.{key}={value}" for key, value in settings.items()]
    return " ".join(["qdeploy train", f"models/{recipe}", *changed])


def recorded_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a build.json that are not the default, without folders of its machine."""
    from qdeploy.build.options import Options

    defaults = {field.name: field.default for field in dataclasses.fields(Options)}
    kept = {
        key: value
        for key, value in options.items()
        if key not in PLACES
        and value is not None  # the board of a target without boards
        and (
            key in ALWAYS
            or (tuple(value) if isinstance(value, list) else value) != defaults.get(key)
        )
    }
    if "folding" in kept:
        kept["folding"] = "FILE"
    return kept


def export_command(options: Mapping[str, Any]) -> str:
    """The command line of `recorded_options`."""
    words = ["qdeploy", "export", "RUN"]
    for key, value in options.items():
        flag = FLAGS.get(key, f"--{key.replace('_', '-')}")
        if isinstance(value, bool):
            words.append(flag)  # only what is not the default is here
        else:
            for one in value if isinstance(value, list) else [value]:
                whole = isinstance(one, float) and one.is_integer()
                words += [flag, str(int(one) if whole else one)]
    return shlex.join(words)
