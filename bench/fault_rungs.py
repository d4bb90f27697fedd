"""The rungs of the ladder on a broken design: which of them find the fault, and where."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qdeploy.build_folder import RTL_FOLDER, SIM_FOLDER

MEMORIES, LAYER, RTL, NETLIST_LAYER, NETLIST = (
    "memories",
    "layer",
    "rtl",
    "netlist layer",
    "netlist",
)
OF_RTL, OF_NETLIST = (MEMORIES, LAYER, RTL), (NETLIST_LAYER, NETLIST)
RUNGS = (*OF_RTL, *OF_NETLIST)


@dataclass(frozen=True)
class Bench:
    """A build folder, as the ladder sees it, and what a broken one is compared with."""

    folder: Path
    design: Any
    graph: Any
    frames: Any
    reference: Any

    @property
    def rtl(self) -> Path:
        """The design's folder."""
        return self.folder / RTL_FOLDER


def said(bench: Bench, fault: Any, rungs: tuple[str, ...]) -> tuple[dict[str, str], Any]:
    """What each rung says of the fault that is in the files now, those that find nothing left
    out; and the ledger of the rung memories."""
    found: dict[str, str] = {}
    ledger = None
    if MEMORIES in rungs:
        ledger = _memories(bench, fault)
        if ledger.listed:
            found[MEMORIES] = ledger.listed[0].sentence()
    for name in rungs:
        if name != MEMORIES and (sentence := _run(bench, name)) is not None:
            found[name] = sentence
    return found, ledger


def _memories(bench: Bench, fault: Any) -> Any:
    from design_faults import FORMS

    from qdeploy.verify.memories.constructs import check_constructs
    from qdeploy.verify.memories.design import check_design

    library = library_with(bench, fault.file) if fault.kind == FORMS else None
    ledger = check_design(bench.rtl, bench.design, bench.graph, library)
    check_constructs(ledger, bench.folder / "proofs", library)
    return ledger


def library_with(bench: Bench, file: str) -> Path:
    """A library that has one file as the design has it."""
    from qdeploy.resources import resource

    library = bench.folder / "library"
    shutil.copytree(resource("hw/rtl"), library, dirs_exist_ok=True)
    shutil.copyfile(bench.rtl / file, library / file)
    return library


def _run(bench: Bench, name: str) -> str | None:
    """What a rung that simulates says, None where every code is right."""
    from qdeploy.errors import QDeployError
    from qdeploy.verify.inputs import LadderInputs
    from qdeploy.verify.ladder import load_rung
    from qdeploy.verify.rungs import layer, rtl

    for module in (layer, rtl):
        # A model runs for less time than it takes to optimize.
        if not isinstance(module.simulate_design, partial):
            module.simulate_design = partial(module.simulate_design, optimize="-O0")
    inputs = LadderInputs(
        bench.folder, bench.graph, None, bench.frames, bench.folder / "cache",
        rtl_frames=len(bench.frames),
    )  # fmt: skip
    try:
        result = load_rung(name).run(inputs, bench.reference, required=True)
    except QDeployError as error:
        return "; ".join(filter(None, (error.what, error.where, error.why)))
    assert result.skipped is None and result.refused is None, result
    return result.note if result.mismatches else None


def forget_models(bench: Bench) -> None:
    """Remove compiled models: each broken design is compiled once."""
    shutil.rmtree(bench.folder / "cache" / SIM_FOLDER, ignore_errors=True)


def at_its_place(bench: Bench, fault: Any, sentence: str) -> bool:
    """Whether a sentence names the fault's layer; for what is in no layer the file, or a layer
    that has the module."""
    own = [one for one in bench.design.layers if one.layer == fault.layer]
    if own:
        names = {fault.layer, *(one.module for one in own)}
    else:
        name = fault.file.removesuffix(".v")
        names = {name, *(one for one in users(bench, name))}
    return any(re.search(rf"\b{re.escape(name)}\b", sentence) for name in names)


def users(bench: Bench, module: str) -> list[str]:
    """Layers' modules that have a module of the library in them."""
    from qdeploy.verify.memories.library import needed

    found = []
    for one in bench.design.layers:
        text = (bench.rtl / f"{one.module}.v").read_text(encoding="utf-8")
        if f"{module}.v" in needed(re.findall(r"^  (qd_\w+) #?\(", text, re.MULTILINE)):
            found.append(one.module)
    return found


def broken(bench: Bench, fault: Any) -> Any:
    """Puts a fault into the files while it is entered."""
    return _Broken(bench, fault)


class _Broken:
    def __init__(self, bench: Bench, fault: Any) -> None:
        root = bench.folder if fault.file.startswith("synth/") else bench.rtl
        self._path, self._text = root / fault.file, fault.text

    def __enter__(self) -> None:
        self._before = self._path.read_text(encoding="utf-8")
        self._path.write_text(self._text, encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self._path.write_text(self._before, encoding="utf-8")
