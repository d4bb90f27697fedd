"""Predicted and synthesized sizes of whole designs, and what FINN's own estimate says.

    python bench/cost_model.py [--only PATTERN] [--store FOLDER]

Networks of ladder_networks.py that no block of hw/costs was measured from, with random weights, are
compiled at two foldings. The prediction is the sum over all blocks of the design, FIFOs and width
converters included, with the costs of hw/costs; the truth is Yosys on the whole design. Writes
bench/results/cost_model.json: `lut_predicted`, `lut`, and so on, with FINN's estimate of the same
layers as the peer. FINN has no figures for some operators (their number is `finn_without`).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ladder_networks import LADDER, Entry
from record import RESULTS, figure, row, save

ROOT = Path(__file__).resolve().parent.parent
# Frames per second of the foldings; the boards' clock is 100 MHz.
RATES = {
    "digits-fcdnn-w2a2": (200_000.0, 3_000_000.0),
    "fashion-convnet-w2a2": (1_000.0, 4_000.0),
    "resnet8-basic": (1_000.0, 6_000.0),
    "resnet11-depthwise": (500.0, 3_000.0),
    "resnet8-mlperf-tiny": (500.0, 3_000.0),
    "mobilenetv2-x0.25-w4a4": (300.0, 1_500.0),
}


def compared(entry: Entry, fps: float, folder: Path, store: Path) -> dict[str, Any]:
    """Predicted, synthesized and FINN's figures of one network at one rate."""
    from qdeploy.boards import load_board
    from qdeploy.dataflow.block_costs import load_costs
    from qdeploy.dataflow.compile import compile_graph, connect
    from qdeploy.lowering.export_qonnx import export_qonnx_file
    from qdeploy.lowering.lower import lower
    from qdeploy.networks.calibrated import calibrated_random
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.synth.synthesize import synthesize

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    export_qonnx_file(network, network.input_shape, folder / "network.onnx")
    graph = lower(folder / "network.onnx", argmax=entry.argmax)
    board = load_board("pynq-z2")
    compiled = compile_graph(graph, board, folder / "rtl", fps=fps)
    connected = connect(compiled.hardware)
    found = synthesize(folder / "rtl", compiled.design, folder / "synth", board, store=store)
    need, per_node = predicted(connected, compiled.design.output.beats, load_costs())
    for layer in found.layers:
        guess = per_node[layer.name]
        here = layer.counts
        if guess.bram18 != int(2 * here.bram36) or guess.dsp != here.dsp:
            print(
                f"  {layer.name}: BRAM18 {guess.bram18} / {2 * here.bram36:g}, "
                f"DSP {guess.dsp} / {here.dsp}"
            )
        if abs(guess.lut - here.lut) > 0.005 * found.total.lut:
            print(f"  {layer.name} {layer.folding}: LUT {guess.lut} / {here.lut}")
    return {
        "lut": (need.lut, found.total.lut),
        "ff": (need.ff, found.total.ff),
        "bram36": (need.bram18 / 2, found.total.bram36),
        "dsp": (need.dsp, found.total.dsp),
        "finn": finn_estimate(connected, board.part),
    }


def predicted(model: Any, beats: int, costs: Any) -> tuple[Any, dict[str, Any]]:
    """What the blocks of a connected design cost: all together, and by layer."""
    from qonnx.custom_op.registry import getCustomOp

    total = costs.of("qd_tlast", {"WIDTH": 8, "BEATS": beats})
    layers = {}
    for node in model.graph.node:
        blocks = [instance.block for instance in getCustomOp(node).unit(model).instances]
        need = costs.total((block.module, block.measures) for block in blocks)
        layers[node.name] = need
        total += need
    return total, layers


def finn_estimate(model: Any, part: str) -> dict[str, float]:
    """FINN's figures for its own hardware of the same layers and foldings, RTL before HLS."""
    from onnx import NodeProto
    from qonnx.custom_op.registry import getCustomOp

    total: dict[str, float] = {"lut": 0, "bram36": 0, "dsp": 0, "without": 0}
    for node in model.graph.node:
        operator = node.op_type.removesuffix("_qd_rtl")
        estimate = None
        for kind in ("rtl", "hls"):
            twin = NodeProto()
            twin.CopyFrom(node)
            twin.op_type, twin.domain = f"{operator}_{kind}", f"finn.custom_op.fpgadataflow.{kind}"
            known = getattr(_table(kind), "custom_op", {})
            if twin.op_type not in known or not _estimates(known[twin.op_type]):
                continue
            try:
                estimate = getCustomOp(twin).node_res_estimation(part)
                break
            except Exception as error:  # noqa: BLE001 (FINN raises bare ones for what it lacks)
                print(f"  FINN on {twin.op_type}: {type(error).__name__}: {error}")
        if estimate is None:
            total["without"] += 1
            continue
        total["lut"] += estimate["LUT"]
        total["bram36"] += estimate["BRAM_18K"] / 2
        total["dsp"] += estimate["DSP"]
    return total


def _table(kind: str) -> Any:
    from importlib import import_module

    return import_module(f"finn.custom_op.fpgadataflow.{kind}")


def _estimates(operator: type) -> bool:
    """Whether an operator says anything of its own; FINN's default is zero for everything."""
    from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp

    return operator.lut_estimation is not HWCustomOp.lut_estimation  # type: ignore[attr-defined]


def rows_of(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one design."""
    rows, finn = [], figures["finn"]
    for kind in ("lut", "ff", "bram36", "dsp"):
        guess, truth = figures[kind]
        rows.append(figure(name, kind, truth, kind))
        rows.append(figure(name, f"{kind}_predicted", guess, kind))
        if kind in finn:
            rows.append(figure(name, f"{kind}_finn", round(finn[kind], 1), kind))
    rows.append(row(name, "lut_ratio", figures["lut"][0], "LUT", "Yosys", figures["lut"][1]))
    rows.append(figure(name, "finn_without", finn["without"], "layers"))
    return rows


def kept(names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of an earlier run whose networks are not in this one."""
    path = RESULTS / "cost_model.json"
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [item for item in rows if item["network"] not in names]


def main() -> None:
    """Compare every network asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of network names")
    parser.add_argument("--store", type=Path, default=Path.home() / ".cache/qdeploy/modules")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for entry in LADDER:
        for fps in RATES.get(entry.name, ()):
            name = f"{entry.name} at {fps:,.0f}/s"
            if not fnmatch.fnmatch(name, arguments.only):
                continue
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                figures = compared(entry, fps, Path(folder), arguments.store)
            save("cost_model", [*kept([name]), *rows_of(name, figures)])
            for kind in ("lut", "ff", "bram36", "dsp"):
                guess, truth = figures[kind]
                ratio = f" ({guess / truth - 1:+.1%})" if truth else ""
                finn = f", FINN {figures['finn'][kind]:,.0f}" if kind in figures["finn"] else ""
                print(f"  {kind}: predicted {guess:,g}, Yosys {truth:,g}{ratio}{finn}", flush=True)


if __name__ == "__main__":
    main()
