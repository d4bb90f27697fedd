"""Instructions that a layer takes on a core, as fitted to measured ones: `hw/costs/c_kernels.json`.

A layer's instructions are a sum of counts that its kernel makes, each times a coefficient of the
kernel and the core. `scripts/measure_c_costs.py` measures layers under QEMU, fits, and writes
the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from qdeploy.codegen.c.finishing import FEW_LEVELS
from qdeploy.codegen.c.kernels import finish_kind
from qdeploy.codegen.c.staging import FILTERS, Staging, Unit
from qdeploy.codegen.c.steps import Step
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.resources import resource

TABLE = "hw/costs/c_kernels.json"
# Cores with 64-bit sums and with two products of 16 bits at a time; others have neither.
_WIDE = ("cortex-m3", "cortex-m4", "cortex-m7")
_DUAL = ("cortex-m4", "cortex-m7")
# A core that was not measured, and the one that has the same instructions.
_AS = {"cortex-m7": "cortex-m4", "cortex-m3": "cortex-m4"}


def kernel_name(step: Step) -> str:
    """The name of a convolution's or a fully connected layer's kernel in the table."""
    packed = step.weights
    assert packed is not None
    if isinstance(step.node, Dense):
        if packed.trits:
            return "dense_trits"
        if packed.bits not in (1, 2, 4, 8) or packed.bits * packed.columns % 8:
            return "dense_rest"
        own = packed.columns * step.result.count >= step.copied
        return f"dense_{'own' if own else 'shared'}_{packed.bits}"
    return "window" if step.staging is None else step.staging.unit.name.lower()


def counts_of(step: Step, core: str) -> dict[str, float]:
    """What a layer's kernel counts in a frame, by name.

    layer       1
    rows        of sums, of four filters each
    laid        windows of rows that are laid out, in all bands
    codes       words or codes of them
    unpacked    weights that are unpacked, or words of them; of 3 and 4 bits `spread`
    expanded    bytes of five weights
    windows     of four filters each
    units       words, pairs or codes that four filters multiply
    reads       of the bytes of products
    few         results with at most three thresholds; others by what becomes of a sum: `nothing`,
                `bias`, `search8`, `lookup`, `line32` …
    products    one by one
    """
    node, staging, packed, result = step.node, step.staging, step.weights, step.result
    assert packed is not None and step.finish is not None
    table = step.finish.table
    few = table is not None and table.shape[1] <= FEW_LEVELS
    finish = "few" if few else finish_kind(step.finish)[0].removeprefix("QD_").lower()
    found: dict[str, float] = {"layer": 1, finish: result.count}
    if staging is None:
        found["products"] = result.count * packed.columns
        if isinstance(node, Conv):
            found |= {"windows": result.count, "unpacked": node.weights.size}
        return found
    quads = -(-result.channels // FILTERS)
    bands = -(-result.height // staging.band)
    units, columns = _window_units(staging, core), _columns(staging, step, core)
    laid = (result.height - bands) * staging.stride_down + bands * staging.window_height
    lengths = [run.units for run in staging.runs] or [units]
    found |= {
        "rows": result.height * quads,
        "laid": laid * columns,
        "codes": laid * columns * staging.units,
        "unpacked" if packed.bits <= 2 or staging.unit is Unit.BYTES else "spread": bands
        * quads
        * FILTERS
        * staging.window_height
        * staging.units,
        "windows": result.height * columns * quads,
        "units": result.height * columns * quads * units,
        "reads": result.height * columns * sum(-(-units // length) for length in lengths),
    }
    if packed.trits:
        found["expanded"] = bands * quads * FILTERS * packed.data.shape[1]
    return found


def instructions_of(step: Step, core: str) -> float | None:
    """Instructions of a frame, None where the table has none for the core or the kernel."""
    kernels = _table().get(_AS.get(core, core), {})
    coefficients = kernels.get(kernel_name(step))
    if coefficients is None:
        return None
    return sum(coefficients.get(name, 0.0) * n for name, n in counts_of(step, core).items())


@cache
def _table() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Core -> kernel -> coefficients."""
    cores = json.loads(resource(TABLE).read_text(encoding="utf-8"))["cores"]
    return {
        core: {kernel: one["coefficients"] for kernel, one in kernels.items()}
        for core, kernels in cores.items()
    }


def _window_units(staging: Staging, core: str) -> int:
    if staging.unit is Unit.BYTES and core in _DUAL:
        return staging.window_height * -(-staging.units // 2)
    units = staging.window_height * staging.units
    return -(-units // 4) * 4 if staging.unit is Unit.BYTES else units


def _columns(staging: Staging, step: Step, core: str) -> int:
    wide = staging.unit is Unit.PAIRS and core in _WIDE
    return -(-step.sources[0].width // 4) if wide else staging.columns
