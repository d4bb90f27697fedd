"""Predicted and synthesized sizes of whole designs, and what FINN's own estimate says.

    python bench/cost_model.py [--only PATTERN] [--store FOLDER] [--cycles-only]

Networks of ladder_networks.py from which no block of hw/costs was measured, with random weights,
are compiled at two foldings, with FIFOs sized by simulation as in an export. The prediction is the
sum over all blocks of the design, including FIFOs and width converters, with the costs of hw/costs;
the reference is Yosys on the whole design. Writes bench/results/cost_model.json: `lut_predicted`,
`lut`, and so on, with FINN's estimate of the same layers as the peer. FINN has no figures for some
operators (their number is `finn_without`). `cycles_ratio` compares the cycles per frame of the
slowest layer with RTL simulation of the sized design, frames back to back. Rows of designs left out
with --only are kept; the page of measurements names the designs that have none yet.
"""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ladder_networks import LADDER, Entry
from record import figure, row, save, saved

ROOT = Path(__file__).resolve().parent.parent
# As in an export: frames of codes, probability of a stall in the runs with stalls.
FRAMES = 8
STALL = 0.2
# Frames per second of the foldings; the boards' clock is 100 MHz.
RATES = {
    "digits-fcdnn-w2a2": (200_000.0, 3_000_000.0),
    "fashion-convnet-w2a2": (1_000.0, 4_000.0),
    "resnet8-basic": (1_000.0, 6_000.0),
    "resnet11-depthwise": (500.0, 3_000.0),
    "resnet8-mlperf-tiny": (500.0, 3_000.0),
    "mobilenetv2-x0.25-w4a4": (300.0, 1_500.0),
}


def compared(
    entry: Entry, fps: float, folder: Path, store: Path, synthesis: bool = True
) -> dict[str, Any]:
    """Predicted, measured and FINN's figures of one network at one rate."""
    from qdeploy.build.steps.size_fifos import size_fifos
    from qdeploy.dataflow.compile import compile_graph, with_fifos
    from qdeploy.dataflow.cost.blocks import load_costs
    from qdeploy.devices.boards import load_board
    from qdeploy.lowering.from_torch.export import export_qonnx_file
    from qdeploy.lowering.integers.lower import lower
    from qdeploy.networks.calibrated import calibrated_random
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.sim.fifo_sizing import interval
    from qdeploy.synth.synthesize import synthesize

    recipe = load_recipe(ROOT / "models" / entry.recipe, list(entry.overrides))
    network = calibrated_random(recipe, shape=entry.shape, classes=entry.classes)
    export_qonnx_file(network, network.input_shape, folder / "network.onnx")
    graph = lower(folder / "network.onnx", argmax=entry.argmax)
    board = load_board("pynq-z2")
    compiled = compile_graph(graph, board, folder / "rtl", fps=fps)
    source = graph.tensors[graph.input]
    codes = np.random.default_rng(0).integers(
        source.lo, source.hi + 1, size=(FRAMES, *source.shape)
    )
    sized = size_fifos(compiled, folder / "rtl", codes, folder / "cache", stall=STALL, seed=0)
    counted = (sized.design.cycles_per_frame, interval(sized.free))
    if not synthesis:
        return {"cycles": counted}
    connected = with_fifos(compiled.joined, sized.sizing.depths)
    found = synthesize(folder / "rtl", sized.design, folder / "synth", board, store=store)
    usage, per_node = predicted(connected, compiled.design.output.beats, load_costs())
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
        "lut": (usage.lut, found.total.lut),
        "ff": (usage.ff, found.total.ff),
        "bram36": (usage.bram18 / 2, found.total.bram36),
        "dsp": (usage.dsp, found.total.dsp),
        "finn": finn_estimate(connected, board.part),
        "cycles": counted,
    }


def predicted(model: Any, beats: int, costs: Any) -> tuple[Any, dict[str, Any]]:
    """Cost of the blocks of a connected design: in total, and by layer."""
    from qdeploy.dataflow.estimates import block_usage

    layers = block_usage(model, costs)
    total = costs.of("qd_tlast", {"WIDTH": 8, "BEATS": beats})
    for usage in layers.values():
        total += usage
    return total, layers


def finn_estimate(model: Any, part: str) -> dict[str, float]:
    """FINN's figures for its own hardware of the same layers and foldings, RTL before HLS."""
    from qdeploy.dataflow.finn.resource_models import finn_estimates

    found = finn_estimates(model, part).values()
    known = [one for one in found if one is not None]
    return {
        "lut": sum(one.lut for one in known),
        "bram36": sum(one.bram36 for one in known),
        "dsp": sum(one.dsp for one in known),
        "without": len(found) - len(known),
    }


def rows_of(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one design."""
    guess, truth = figures["cycles"]
    rows = [
        figure(name, "cycles", truth, "cycles"),
        row(name, "cycles_ratio", guess, "cycles", "RTL simulation", truth),
    ]
    if "finn" not in figures:
        return rows
    finn = figures["finn"]
    for kind in ("lut", "ff", "bram36", "dsp"):
        guess, truth = figures[kind]
        rows.append(figure(name, kind, truth, kind))
        rows.append(figure(name, f"{kind}_predicted", guess, kind))
        if kind in finn:
            rows.append(figure(name, f"{kind}_finn", round(finn[kind], 1), kind))
    rows.append(row(name, "lut_ratio", figures["lut"][0], "LUT", "Yosys", figures["lut"][1]))
    rows.append(figure(name, "finn_without", finn["without"], "layers"))
    return rows


def kept(name: str, synthesis: bool = True) -> list[dict[str, Any]]:
    """Rows of an earlier run that a run of this design does not replace."""
    made = () if synthesis else ("cycles", "cycles_ratio")
    return [
        item
        for item in saved("cost_model")
        if item["network"] != name or (made and item["metric"] not in made)
    ]


def configured() -> list[tuple[str, Entry, float]]:
    """Every design to compare: name of its rows, network, frames per second."""
    return [
        (f"{entry.name} at {fps:,.0f}/s", entry, fps)
        for entry in LADDER
        for fps in RATES.get(entry.name, ())
    ]


def main() -> None:
    """Compare every selected network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of network names")
    store = ROOT / "build/.cache/modules"
    parser.add_argument("--store", type=Path, default=store, help="kept results [build/.cache]")
    parser.add_argument("--cycles-only", action="store_true", help="leave synthesis out")
    arguments = parser.parse_args()
    synthesis = not arguments.cycles_only
    warnings.simplefilter("ignore")
    for name, entry, fps in configured():
        if not fnmatch.fnmatch(name, arguments.only):
            continue
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            figures = compared(entry, fps, Path(folder), arguments.store, synthesis)
        save("cost_model", [*kept(name, synthesis), *rows_of(name, figures)])
        for kind in ("cycles", "lut", "ff", "bram36", "dsp"):
            if kind not in figures:
                continue
            guess, truth = figures[kind]
            ratio = f" ({guess / truth - 1:+.1%})" if truth else ""
            theirs = figures.get("finn", {})
            finn = f", FINN {theirs[kind]:,.0f}" if kind in theirs else ""
            print(f"  {kind}: predicted {guess:,g}, is {truth:,g}{ratio}{finn}", flush=True)


if __name__ == "__main__":
    main()
