"""Why a rung cannot see a fault that it does not find: an argument, a proof or an enumeration.

between layers   the rung drives each layer by itself; what connects them it does not look at
other form       the fault is in the form of a module that is synthesized, not simulated
in no layer      the module is the top's own, not a layer's
not elaborated   with the parameters of every layer that has the module, it is the same cells with
                 and without the fault, as Yosys reads it for the rungs that should find it
same function    proved: no input that can occur gives another code
same codes       enumerated over all sums that can occur
same results     a SAT solver finds no difference
undefined bit    a bit outside of a vector is used, and a simulator may well take the right one
proved as it is  another module multiplies, and the rung memories has proved that it gives the same
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from fault_rungs import Bench, users

from qdeploy.build_folder import RTL_FOLDER

# What proves that no rung needs to find a fault; the others say why one rung cannot.
PROOFS = frozenset(
    ("same function", "same codes", "same results", "not elaborated", "proved as it is")
)
_BIT = re.compile(r", times bit \d+ of the code$")


def reason(bench: Bench, fault: Any, ledger: Any) -> str | None:
    """Why the rung `layer` cannot see a fault that is in the files now; None: it should.

    Args:
        ledger: what the rung memories says of it, None for a netlist.
    """
    from design_faults import FORMS
    from library_changes import changes_no_construct
    from netlist_faults import CELL, same_cells
    from redundant_faults import changes_nothing

    if fault.kind == CELL:
        module = fault.what.split(":")[0]
        same = same_cells(_good(bench, fault), fault.text, module, bench.folder)
        return "same function" if same else None
    if fault.kind == "wire":
        return "between layers"
    if fault.kind == FORMS and ledger.listed and "synthesis only" in fault.what:
        return "other form"
    if fault.kind == FORMS and changes_no_construct(
        ledger.constructs, fault.file, fault.text, bench.folder
    ):
        return "same results"
    if not fault.layer:
        if not users(bench, fault.file.removesuffix(".v")):
            return "in no layer"
        if _elaborated_alike(bench, fault, ledger):
            return "not elaborated"
        if any("an undefined bit is used" in one.sentence() for one in ledger.listed):
            return "undefined bit"
        return None
    if fault.kind in ("weight", "channels") and _weights_hidden(bench, fault, ledger):
        return "same function"
    if fault.what.startswith(".DOT(") and not ledger.listed:
        return "proved as it is"
    if changes_nothing(bench.rtl, bench.design, bench.graph, fault):
        return "same codes"
    if fault.file.endswith(".v") and _elaborated_alike(bench, fault, ledger):
        return "not elaborated"
    return None


def _good(bench: Bench, fault: Any) -> str:
    return (bench.folder / "good" / fault.file).read_text(encoding="utf-8")


def _weights_hidden(bench: Bench, fault: Any, ledger: Any) -> bool:
    """Whether the rows that the rung memories reads otherwise are the same functions as before."""
    from qdeploy.verify.memories.products import weight_name
    from qdeploy.verify.units.masks import input_masks
    from qdeploy.verify.units.parameters import unit_parameters

    own = [one for one in ledger.listed if one.layer == fault.layer]
    (layer,) = {one.module for one in own}
    unit = unit_parameters(
        bench.design, bench.graph, next(o for o in bench.design.layers if o.module == layer)
    )
    matrix = unit.kernel if unit.matrix is None else unit.matrix
    assert matrix is not None
    if ledger.differing > len(own):
        return False
    names = {
        weight_name(unit, row, column): (row, column)
        for row in range(matrix.shape[0])
        for column in range(matrix.shape[1])
    }
    changes: dict[int, list[tuple[int, int, bool]]] = {}
    for one in own:
        place, bit = _BIT.subn("", one.place)
        row, column = names[place]
        changes.setdefault(row, []).append((column, int(one.found) - int(one.expected), bool(bit)))
    masks = input_masks(bench.design, bench.graph, unit)
    if unit.matrix is None:
        masks = masks[:, :, 0]
    masks = masks.reshape(len(masks), -1) * np.ones((1, matrix.shape[1]), dtype=np.int64)
    ends = unit.inputs[0].lo, unit.inputs[0].hi
    return all(
        _row_hidden(
            matrix[row] * mask,
            None if unit.thresholds is None else unit.thresholds[row],
            ends,
            [change for change in found if mask[change[0]]],
        )
        for row, found in changes.items()
        for mask in masks
    )


def _row_hidden(
    weights: Any, levels: Any, ends: tuple[int, int], changes: list[tuple[int, int, bool]]
) -> bool:
    """Whether a row with other weights is the same function.

    Args:
        changes: column, by how much, and whether only a bit of the input has that factor.
    """
    from qdeploy.verify.units.pairs import one_function
    from qdeploy.verify.units.row import Row

    if not changes:
        return True
    right, wrong = weights, weights.copy()
    for column, change, bit in changes:
        if bit:
            # A bit is one of the values of an input of its own: this proves more than is needed.
            right, wrong = np.append(right, 0), np.append(wrong, change)
        else:
            wrong[column] += change
    if levels is not None and len(changes) == 1:
        column = int(np.flatnonzero(right != wrong)[0])
        try:
            row = Row(right, levels, *ends)
            return row.witness(int(right[column]), int(wrong[column] - right[column])) is None
        except OverflowError:
            return False
    table = None if levels is None else np.stack([levels, levels])
    verdict = one_function(np.stack([right, wrong]), table, *ends)
    return verdict is not None and verdict.apart is None


def _elaborated_alike(bench: Bench, fault: Any, ledger: Any) -> bool:
    """Whether every layer that has the file is the same cells with and without the fault: as it is
    simulated, and if no rung finds the fault as it is synthesized too."""
    name = fault.file.removesuffix(".v")
    own = [one.module for one in bench.design.layers if one.module == name]
    views = ("-DVERILATOR",) if ledger.listed else ("-DVERILATOR", "")
    return all(
        _cells(bench, module, None, view) == _cells(bench, module, fault.file, view)
        for module in (own or users(bench, name))
        for view in views
    )


def _cells(bench: Bench, module: str, broken: str | None, view: str) -> str:
    """A layer as Yosys reads it with the option `view`, without what leads to nothing; the file
    `broken` as it is now, all others as they were."""
    folder = bench.folder / "elaborated"
    folder.mkdir(exist_ok=True)
    for source in bench.design.sources:
        text = (bench.rtl / source).read_text(encoding="utf-8")
        good = bench.folder / "good" / RTL_FOLDER / source
        if source != broken:
            text = good.read_text(encoding="utf-8")
        (folder / source).write_text(text, encoding="utf-8")
    for memory in bench.design.memories:
        (folder / memory).write_bytes((bench.rtl / memory).read_bytes())
    script = (
        f"read_verilog -sv -defer {view} {' '.join(bench.design.sources)}; "
        f"hierarchy -check -top {module}; proc; flatten; opt_clean -purge; "
        "rename -enumerate; write_rtlil out.il"
    )
    subprocess.run(
        ["yosys", "-Q", "-p", script], cwd=folder, capture_output=True, check=True, timeout=300
    )
    text = Path(folder / "out.il").read_text(encoding="utf-8")
    return re.sub(r"^ *(attribute|autoidx|#) ?.*\n", "", text, flags=re.M)
