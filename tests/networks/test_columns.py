"""Columns of the papers' tables with widths of their own: networks have them, and can learn."""

import re

import pytest
from one_step import one_step
from torch import nn

from qdeploy.quant.quantizers import code_range, is_quantized
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.papers import Cell, cells

PAPERS = ("boo2020", "sung2015")
# Of tables with several kinds of networks one of each; of the others the first row.
KINDS = {
    "table5": ("basic-8", "preact-8", "depthwise-29"),
    "synthetic": ("128-3", "128-4-residual"),
}


def widths_of(cell: Cell) -> tuple[str, ...]:
    return tuple(item for item in cell.overrides if item.startswith("quantization."))


def columns() -> list[Cell]:
    """For every table and every choice of widths that differs from the recipes'."""
    found: dict[tuple[object, ...], Cell] = {}
    for paper in PAPERS:
        for cell in cells(paper):
            rows = KINDS.get(cell.table)
            if widths_of(cell) and (rows is None or cell.row in rows):
                key = (paper, cell.table, widths_of(cell), cell.row if rows else None)
                found.setdefault(key, cell)
    return list(found.values())


COLUMNS = columns()


def stated_bits(cell: Cell) -> tuple[int | None, int | None]:
    """Bits of weights and activations by the names of row and column, None for float ones."""
    if cell.column.startswith("3bit"):
        return 3, 8  # signals keep the 8 bits of every recipe of this paper
    match = re.search(r"w(\d|f)a(\d|f)", f"{cell.row} {cell.column}")
    assert match is not None, cell
    weights, activations = (None if bits == "f" else int(bits) for bits in match.groups())
    return weights, activations


def test_every_column_with_widths_of_its_own_is_among_them():
    names = {(cell.table, stated_bits(cell)) for cell in COLUMNS}
    both, segmentation = {(2, None), (None, 2)}, {(8, 8), (6, 6), (3, 3)}
    assert names == (
        {("table2", bits) for bits in ((4, None), (None, 4))}
        | {("table3", bits) for bits in segmentation}
        | {(t, bits) for t in ("table5", "figure6a", "figure7", "synthetic") for bits in both}
        | {(t, (3, 8)) for t in ("units", "layers", "feature-maps")}
    )


@pytest.mark.parametrize("cell", COLUMNS, ids=lambda cell: f"{cell.table}-{cell.row}-{cell.column}")
def test_one_step_of_a_column_reaches_every_weight_at_the_stated_widths(cell: Cell):
    network = one_step(load_recipe(cell.recipe, cell.overrides))
    weights, activations = stated_bits(cell)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if weights is None:
        assert not any(is_quantized(layer) for layer in layers)
    else:
        first, *inside, last = (code_range(layer.weight_quant)[1] for layer in layers)
        assert set(inside) <= {2 ** (weights - 1) - 1}
        assert first == (3 if weights == 3 and activations == 8 else 127)
        assert last == 127
    proxies = [
        module.act_quant
        for name, module in network.named_modules()
        if name != "input_quant" and hasattr(module, "act_quant")
    ]
    # Residual streams are signed and have bits of their own.
    unsigned = {code_range(proxy)[1] for proxy in proxies if code_range(proxy)[0] == 0}
    assert unsigned == (set() if activations is None else {2**activations - 1})
