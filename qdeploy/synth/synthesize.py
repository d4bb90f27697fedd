"""Synthesis of a whole design: each layer's module by itself, then everything around them.

Each layer is flattened inside and kept as a module, so its figures are its own. The top is
synthesized with the layers as black boxes; what it holds besides them (FIFOs, width converters) is
`outside`, and the total is outside + Σ instances · layer. Modules come from a store keyed by their
content: a design in which one layer changed costs that layer and the top, an unchanged one nothing.

A layer that runs out of memory is synthesized again alone, then with its dot products mapped one by
one; `notes` of the result say so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.devices.capacity import Counts
from qdeploy.devices.families import find_family
from qdeploy.devices.fit import available
from qdeploy.errors import InternalError, OutOfMemoryError
from qdeploy.observer import OpenMeter, ignore, silent_meter
from qdeploy.supervised import in_parallel
from qdeploy.synth.cells import count
from qdeploy.synth.figures import LayerResources, Resources
from qdeploy.synth.sources import SourceTree
from qdeploy.synth.yosys import Netlist, Yosys

NETLIST_FILE = "netlist.v"
LOG_FILE = "yosys.log"


def synthesize(
    folder: Path,
    design: Design,
    work: Path,
    board: Board,
    *,
    store: Path | None = None,
    on_module: Callable[[str], None] = ignore,
    meter: OpenMeter = silent_meter,
    note: Callable[[str], None] = ignore,
) -> Resources:
    """Synthesize the design in `folder` for `board` and count what it uses.

    Args:
        folder: design folder; Yosys runs in it.
        work: gets `netlist.v` (all modules, primitives of the family) and `yosys.log`.
        store: results by content, `work/modules` when None; may be shared between builds.
        on_module: called with a module's name when its figures are there, from any thread.
        meter: counts the modules, of which those that are alike are one.
        note: called with a sentence where memory is short, from any thread.

    Raises:
        ToolMissingError: when there is no Yosys.
        OutOfMemoryError: when a layer does not fit into memory even with its rows one by one.
        ToolFailedError: when Yosys fails, ends without a netlist, or infers a latch.
        InternalError: when the design does not instantiate its layers as plain modules.
    """
    family = find_family(board.family)
    yosys = Yosys(family, store or work / "modules")
    tree = SourceTree(folder, design)
    modules = list(dict.fromkeys(layer.module for layer in design.layers))
    _refuse_parameters(folder, design, modules)

    closures = {module: tree.closure(module) for module in modules}
    keys = {
        module: closure.digest(folder, *yosys.key_parts(), unnamed=module)
        for module, closure in closures.items()
    }

    def run(module: str, by_rows: bool = False) -> Netlist:
        sources = closures[module].sources
        done = yosys.run(keys[module], module, folder, sources, by_rows=by_rows)
        counter.advance(note=module)
        on_module(module)
        return done

    # Modules that are alike run once.
    first = {key: module for module, key in reversed(keys.items())}
    # The last one is the top.
    with meter("synthesis", len(first) + 1, "layers") as counter:
        made = dict(zip(first, _all(list(first.values()), run, note), strict=True))
        netlists = {module: made[keys[module]] for module in modules}
        counts = {module: count(family, one.cells, module) for module, one in netlists.items()}
        top = _top(yosys, tree, folder, design, netlists)
        counter.advance(note=design.top)
    on_module(design.top)
    outside = count(family, top.cells, design.top, modules)
    total = outside
    for module in modules:
        if not top.cells.get(module):
            raise InternalError(
                f"the design's top `{design.top}` does not instantiate the layer `{module}`",
                where=str(folder),
                do="run `qdeploy export` again; if that does not help, report it",
            )
        total += counts[module] * top.cells[module]
    texts = [top.text(design.top), *(one.text(name) for name, one in netlists.items())]
    write_text(work / NETLIST_FILE, "\n".join(texts))
    logs = [*(one.log for one in made.values()), top.log]
    write_text(work / LOG_FILE, "\n".join(_log_text(log) for log in logs))
    return Resources(
        board=board.name,
        part=board.part,
        total=total,
        outside=outside,
        layers=tuple(_layers(design, counts)),
        available=available(board),
        source=yosys.source,
        netlist=f"{work.name}/{NETLIST_FILE}",
        notes=_notes(netlists),
    )


def _all(
    modules: list[str], run: Callable[..., Netlist], note: Callable[[str], None]
) -> list[Netlist]:
    """Run every module, one process per core; what lacks memory again, with all of it to itself.

    Raises:
        OutOfMemoryError: even with its rows one by one.
    """

    def attempt(module: str) -> Netlist | None:
        try:
            return run(module)
        except OutOfMemoryError as error:
            note(f"{module}: {error.what}; it will run again alone")
            return None

    with in_parallel(attempt, modules, min(4, os.cpu_count() or 1)) as results:
        found = list(results)
    return [
        one if one is not None else _alone(module, run, note)
        for module, one in zip(modules, found, strict=True)
    ]


def _alone(module: str, run: Callable[..., Netlist], note: Callable[[str], None]) -> Netlist:
    """Synthesize a module while nothing else runs, by rows if that is still too much."""
    try:
        return run(module)
    except OutOfMemoryError as error:
        note(f"{module}: {error.what}; its dot products are now mapped one by one")
    return run(module, by_rows=True)


def _notes(netlists: dict[str, Netlist]) -> tuple[str, ...]:
    rows = [module for module, one in netlists.items() if one.by_rows]
    if not rows:
        return ()
    return (
        "memory was short: the dot products of "
        + ", ".join(f"`{module}`" for module in rows)
        + " were mapped one by one and their figures added up, which takes a few more LUTs",
    )


def _layers(design: Design, counts: dict[str, Counts]) -> list[LayerResources]:
    return [
        LayerResources(
            name=layer.name,
            layer=layer.layer,
            op=layer.op,
            module=layer.module,
            folding=dict(layer.folding),
            cycles=layer.cycles,
            counts=counts[layer.module],
        )
        for layer in design.layers
    ]


def _top(
    yosys: Yosys, tree: SourceTree, folder: Path, design: Design, netlists: dict[str, Netlist]
) -> Netlist:
    closure = tree.closure(design.top, stop=netlists)
    # A layer's file name is its key: another layer's content makes another top.
    layers = (f"{module}={made.verilog.stem}" for module, made in netlists.items())
    key = closure.digest(folder, design.top, *yosys.key_parts(), *layers)
    return yosys.run(key, design.top, folder, closure.sources, netlists)


def _refuse_parameters(folder: Path, design: Design, modules: list[str]) -> None:
    """A layer is synthesized with its own defaults, so nobody may override them."""
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in design.sources}
    for module in modules:
        pattern = re.compile(rf"^\s*{re.escape(module)}\s*#\s*\(", re.MULTILINE)
        for name, text in texts.items():
            if pattern.search(text):
                raise InternalError(
                    f"`{name}` instantiates the layer module `{module}` with parameters",
                    why="each layer's module is synthesized by itself, with its own defaults",
                    do="report it",
                )


def _log_text(path: Path) -> str:
    """A module's log; empty where somebody removed it from a shared store."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
