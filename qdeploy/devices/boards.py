"""The boards: what `hw/boards/*.yaml` says about each, checked when it is read.

A board is a part with its resources, the processing system around it, and its life-cycle state.
Targets and boards are separate: a package can be made for any board, whatever its state.
"""

from __future__ import annotations

import difflib
import enum
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qdeploy.bounded import MAX_YAML_BYTES, load_yaml, read_bounded
from qdeploy.devices.families import FAMILIES
from qdeploy.errors import BoardError
from qdeploy.resources import resource

_FOLDER = "hw/boards"
# No part has more of anything.
MOST = 100_000_000
# Names go into file names, Verilog and Tcl; sentences into reports.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=64)]
Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_:.-]*$", max_length=100)]
Sentence = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=400)]


class LifeCycleState(enum.StrEnum):
    """How much support a board still gets from the makers of its software."""

    ACTIVE = "active"
    COMMUNITY = "community"
    RETIRED_UPSTREAM = "retired-upstream"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LifeCycle(_Model):
    """State of a board's support and one sentence about it."""

    state: LifeCycleState
    note: Sentence


class Available(_Model):
    """What the part has, in the units Vivado reports.

    `lut` are six-input slice LUTs, `lutram` those of them that can be memory or shift register,
    `bram36` blocks of 36 kbit (half a block is an 18 kbit one), `uram` blocks of 288 kbit.
    """

    lut: int = Field(gt=0, le=MOST)
    lutram: int = Field(gt=0, le=MOST)
    ff: int = Field(gt=0, le=MOST)
    bram36: float = Field(ge=0, le=MOST)
    uram: int = Field(ge=0, le=MOST)
    dsp: int = Field(ge=0, le=MOST)


class Board(_Model):
    """One board.

    Args:
        name: what `--board` takes.
        title: maker and model.
        part: full part number as Vivado takes it.
        family: name of the device family (`families`), one that designs can be synthesized for:
            `xc7` (Zynq-7000) or `xcup` (UltraScale+).
        resources: what the part has.
        clock_mhz: default clock of the accelerator, one the PS divides without remainder (1000 MHz
            on Zynq-7000, 1500 MHz on UltraScale+); a target, not a promise: place and route has the
            last word.
        ps: Vivado's name of the processing system.
        board_part: vendor:name:part0 of the Vivado board files whose preset sets up DDR and PS; the
            newest installed version is taken. None leaves the PS at Vivado's defaults.
        carrier: of a module on a carrier card, its connector and Vivado's name of the card's end
            of it (vendor:name:connector); the card's preset adds to the module's. None elsewhere.
        board_files: where the board files come from.
        dma_bits: width of the PS memory port the DMA uses.
        life_cycle: how well the board is still supported.
        pynq: which image the board runs.
        vivado: the oldest release that has the part, the board files and what the project needs.
    """

    name: Name
    title: Sentence
    part: Part
    family: str
    resources: Available
    clock_mhz: float = Field(gt=0, le=10_000)
    ps: Literal["processing_system7", "zynq_ultra_ps_e"]
    board_part: Part | None
    carrier: tuple[Name, Part] | None = None
    board_files: Sentence
    dma_bits: Literal[32, 64, 128]
    life_cycle: LifeCycle
    pynq: Sentence
    vivado: str = Field("2020.2", pattern=r"^20\d\d\.\d$")

    @field_validator("family")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = [family.name for family in FAMILIES.values() if family.synthesis is not None]
        if name not in known:
            raise ValueError(f"`{name}` is none of the device families: {', '.join(known)}")
        return name


def list_boards() -> list[str]:
    """Names of the known boards, sorted; reads only the folder."""
    return sorted(path.stem for path in resource(_FOLDER).glob("*.yaml"))


def load_board(name: str) -> Board:
    """Read a board by its name, or from the path of a YAML file of your own.

    Raises:
        BoardError: when it is unknown (listing the known ones), or its file holds an invalid value.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise BoardError(
                f"there is no board file `{name}`",
                do=f"give a file that exists, or one of: {', '.join(list_boards())}",
            )
        return _read(path)
    known = list_boards()
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise BoardError(
            f"the board `{name}` is not known",
            do=f"{hint}known boards: {', '.join(known)}; or give the path of a YAML file like those"
            " in hw/boards",
        )
    return _builtin(name)


@functools.cache
def _builtin(name: str) -> Board:
    return _read(resource(f"{_FOLDER}/{name}.yaml"))


def _read(path: Path) -> Board:
    try:
        data: Any = load_yaml(read_bounded(path, MAX_YAML_BYTES), str(path))
        return Board.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BoardError(
            f"invalid value for `{key}` in a board file",
            where=str(path),
            why=first["msg"],
            do="compare it with the files in hw/boards",
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BoardError(
            "a board file cannot be read", where=str(path), why=" ".join(str(error).split())
        ) from error
