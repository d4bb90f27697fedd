"""The memories rung: every number and parameter of the stitched design, read back."""

from __future__ import annotations

from collections.abc import Mapping

from qdeploy.build_folder import PROOFS_FOLDER, RTL_FOLDER
from qdeploy.design.manifest import Design
from qdeploy.errors import ToolMissingError
from qdeploy.ir.integer_graph import Bias, IntegerGraph, Threshold
from qdeploy.verify.coverage.shifts import shifts_of
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.memories.constructs import check_constructs
from qdeploy.verify.memories.design import check_design
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung
from qdeploy.verify.units.accounts import BIASES, CHANNELS, THRESHOLDS, WEIGHTS, WINDOWS

# Differences that verify.json lists.
MOST_TOLD = 100
# Kinds of numbers that the network itself has.
_OWN = ("weights", "thresholds", "biases")
_BEFORE = (
    "the design was stitched by an earlier version of qdeploy, which did not record what each "
    "layer computes; run `qdeploy export` again"
)


class MemoriesRung(Rung):
    """Needs no frames: memory files, modules and the top are read as text, and what is written
    twice in the library, for simulation and for synthesis, is proved with Yosys to be the same.
    Without Yosys the result says that it is not.
    """

    name = "memories"
    needs = (RTL_FOLDER,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        folder = inputs.folder / RTL_FOLDER
        design = Design.load(folder)
        if not records_all(design):
            return RungResult(self.name, skipped=_BEFORE)
        ledger = check_design(folder, design, inputs.graph)
        not_proved = ""
        try:
            check_constructs(ledger, inputs.cache / PROOFS_FOLDER)
        except ToolMissingError as error:
            if required:
                raise
            not_proved = f"dot products in simulation and synthesis not compared: {error.what}"
        counted = {kind: int(count) for kind, count in sorted(ledger.counted.items())}
        return RungResult(
            self.name,
            codes=sum(counted.get(kind, 0) for kind in (*_OWN, "parameters", "connections")),
            mismatches=ledger.differing,
            note=ledger.listed[0].sentence() if ledger.listed else not_proved,
            compared="numbers",
            coverage=_coverage(inputs.graph, counted),
            details={
                "compared": counted,
                "differences": [one.sentence() for one in ledger.listed[:MOST_TOLD]],
            },
        )


def _coverage(graph: IntegerGraph, counted: Mapping[str, int]) -> dict[str, float]:
    """Numbers are compared one by one, each at its place; so are geometries. A number that is
    stored more than once is compared as often, but covers one of the graph's."""
    have = {
        WEIGHTS: graph.weights_of(),
        THRESHOLDS: sum(n.thresholds.size for n in graph.nodes if isinstance(n, Threshold)),
        BIASES: sum(n.bias.size for n in graph.nodes if isinstance(n, Bias)),
    }
    shares = {kind: min(1.0, counted.get(kind, 0) / n) for kind, n in have.items() if n}
    if WEIGHTS in shares:
        # Rows in another order are other weights.
        shares[CHANNELS] = shares[WEIGHTS]
    if any(shifts_of(node, graph.tensors[node.inputs[0]].shape) for node in graph.nodes):
        shares[WINDOWS] = float(counted.get("parameters", 0) > 0)
    return shares


def records_all(design: Design) -> bool:
    """Whether a design's file says what each stream carries and what each layer computes."""
    return (
        bool(design.streams)
        and all(one.elements for one in design.streams)
        and any(layer.nodes for layer in design.layers)
    )
