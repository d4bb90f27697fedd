"""Synthesis of a whole design: each layer's module for itself, then what lies around them.

Each layer is flattened inside and kept as a module, so its figures are its own. The top is
synthesized with the layers as black boxes; what it holds beside them (FIFOs, width converters) is
`outside`, and the total is outside + Σ instances · layer. Modules come from a store keyed by their
content: a design in which one layer changed costs that layer and the top, an unchanged one nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qdeploy.artifacts import atomic_path
from qdeploy.boards import Board
from qdeploy.dataflow.design import Design
from qdeploy.errors import InternalError
from qdeploy.synth.cells import Counts, count
from qdeploy.synth.figures import LayerResources, Resources, available
from qdeploy.synth.sources import Closure, SourceTree
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
    on_module: Callable[[str], None] | None = None,
) -> Resources:
    """Synthesize the design in `folder` for `board` and count what it takes.

    Args:
        folder: design folder; Yosys runs in it.
        work: gets `netlist.v` (all modules, Xilinx primitives) and `yosys.log`.
        store: results by content, `work/modules` when None; may be shared between builds.
        on_module: called with a module's name when its figures are there, from any thread.

    Raises:
        ToolMissingError: when there is no Yosys.
        ToolFailedError: when Yosys fails, ends without a netlist, or infers a latch.
        InternalError: when the design does not instantiate its layers as plain modules.
    """
    yosys = Yosys(board.family, store or work / "modules")
    tree = SourceTree(folder, design)
    modules = list(dict.fromkeys(layer.module for layer in design.layers))
    _refuse_parameters(folder, design, modules)
    tell = on_module or (lambda module: None)

    def one(module: str) -> Netlist:
        closure = tree.closure(module)
        made = yosys.run(_key(yosys, closure, folder, module), module, folder, closure.sources)
        tell(module)
        return made

    # One process a core: Yosys itself uses one.
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        netlists = dict(zip(modules, pool.map(one, modules), strict=True))
    counts = {module: count(made.cells, module) for module, made in netlists.items()}
    top = _top(yosys, tree, folder, design, netlists)
    tell(design.top)
    outside = count(top.cells, design.top, modules)
    total = outside
    for module in modules:
        if not top.cells.get(module):
            raise InternalError(
                f"the design's top `{design.top}` does not instantiate the layer `{module}`",
                where=str(folder),
                do="run `qdeploy export` again; if that does not help, report it",
            )
        total += counts[module] * top.cells[module]
    _join(work / NETLIST_FILE, [top.verilog, *(made.verilog for made in netlists.values())])
    _join(work / LOG_FILE, [*(made.log for made in netlists.values()), top.log])
    return Resources(
        board=board.name,
        part=board.part,
        total=total,
        outside=outside,
        layers=tuple(_layers(design, counts)),
        available=available(board),
        source=yosys.source,
        netlist=f"{work.name}/{NETLIST_FILE}",
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


def _key(yosys: Yosys, closure: Closure, folder: Path, module: str, *more: str) -> str:
    return closure.digest(folder, module, *yosys.key_parts(), *more)[:32]


def _top(
    yosys: Yosys, tree: SourceTree, folder: Path, design: Design, netlists: dict[str, Netlist]
) -> Netlist:
    closure = tree.closure(design.top, stop=netlists)
    stubs = [made.verilog for made in netlists.values()]
    # A layer's file name is its key: another layer's content makes another top.
    key = _key(yosys, closure, folder, design.top, *(stub.stem for stub in stubs))
    return yosys.run(key, design.top, folder, closure.sources, stubs)


def _refuse_parameters(folder: Path, design: Design, modules: list[str]) -> None:
    """A layer is synthesized with its own defaults, so nobody may override them."""
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in design.sources}
    for module in modules:
        pattern = re.compile(rf"^\s*{re.escape(module)}\s*#\s*\(", re.MULTILINE)
        for name, text in texts.items():
            if pattern.search(text):
                raise InternalError(
                    f"`{name}` instantiates the layer module `{module}` with parameters",
                    why="each layer's module is synthesized for itself, with its own defaults",
                    do="report it",
                )


def _join(path: Path, parts: list[Path]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for part in parts:
            file.write(part.read_text(encoding="utf-8"))
            file.write("\n")
