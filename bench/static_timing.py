"""The static estimate of a clock against the clock that place and route reaches.

    python bench/static_timing.py [--store FOLDER]

Every block of bench/fmax.py that has a row in bench/results/fmax.json is synthesized for the ECP5
as there, and its longest path taken from Yosys' `sta` with several delays of a routed net. The
delay and the offset with which periods are closest to those that nextpnr reached go to
hw/costs/routed.json. Blocks whose memories or products are hard blocks are left out: Yosys has no
delays of those for the ECP5. Writes bench/results/static_timing.json: the rows `estimated_fmax`
have nextpnr's clock as the peer, and over all blocks there are the spread, the largest error and
Spearman's rank correlation, each also with every block left out of its own fit.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from fmax import FED, measurements
from record import figure, row, save, saved

from qdeploy.artifacts import write_json
from qdeploy.devices.families import ECP5
from qdeploy.synth.nextpnr import NextPnr
from qdeploy.synth.static_timing import longest_paths
from qdeploy.tools import find_tool, run_tool

ROOT = Path(__file__).resolve().parent.parent
FITTED = ROOT / "hw/costs/routed.json"
NETS_NS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
HARD = re.compile(r"^ *(DP16KD|MULT18X18D|PDPW16KD) ", re.MULTILINE)


class Paths(NextPnr):
    """In place of place and route: the longest path by each delay of a net."""

    def run(  # type: ignore[override]
        self, folder: Path, sources: Sequence[str], top: str, *, dsp: bool, memories: Sequence[str]
    ) -> dict[float, float] | None:
        """Length of the longest path in ns by what a routed net takes; None for hard blocks."""
        key = self._key(folder, [*sources, *memories], top, dsp)
        netlist = self.store / f"{key}.v"
        if not netlist.exists():
            self.store.mkdir(parents=True, exist_ok=True)
            lines = [f'read_verilog -defer "{source}"' for source in sources]
            lines += self.routing.commands(top, str(self.store / "unused.json"), dsp)
            lines.append(f'write_verilog -noattr -noexpr "{netlist}"')
            script = self.store / "run.ys"
            script.write_text("\n".join(lines) + "\n", encoding="utf-8")
            log = self.store / "yosys.log"
            run_tool([find_tool("yosys"), "-Q", script], cwd=folder, log_path=log, timeout=1800)
        if HARD.search(netlist.read_text(encoding="utf-8")):
            return None
        assert self.family.times is not None
        found = {}
        for net in NETS_NS:
            log = self.store / "sta.log"
            found[net] = longest_paths([netlist], top, self.family.times, net, log)[top].total_ns
        return found


def fitted(
    lengths: dict[str, dict[float, float]], periods: dict[str, float]
) -> tuple[float, float]:
    """Delay of a net and offset with the smallest relative deviation of periods."""

    def offset(net: float) -> float:
        return statistics.median(periods[name] - one[net] for name, one in lengths.items())

    def deviation(net: float) -> float:
        at = offset(net)
        return sum(((one[net] + at) / periods[name] - 1) ** 2 for name, one in lengths.items())

    net = min(NETS_NS, key=deviation)
    return net, round(offset(net), 2)


def main() -> None:
    """Measure, fit, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="kept netlists")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    reached = {one["network"]: float(one["value"]) for one in saved("fmax")}
    with tempfile.TemporaryDirectory(prefix="qdeploy-sta-") as scratch:
        tool = Paths(arguments.store or Path(scratch), family=ECP5)
        lengths: dict[str, dict[float, float]] = {}
        left_out = 0
        measure: Callable[[], object]
        for name, measure in measurements(tool):
            if name not in reached or name.startswith("design ") or name.endswith(FED):
                continue
            found = measure()
            left_out += found is None
            if isinstance(found, dict):
                lengths[name] = found
                print(f"{name}: {reached[name]:.0f} MHz, {found}", flush=True)
    periods = {name: 1e3 / reached[name] for name in lengths}
    net, offset = fitted(lengths, periods)
    unseen = {}
    for name, one in lengths.items():
        others = {key: value for key, value in lengths.items() if key != name}
        own_net, own_offset = fitted(others, periods)
        unseen[name] = (one[own_net] + own_offset) / periods[name]
    estimated = {name: one[net] + offset for name, one in lengths.items()}
    spread = float(np.std([estimated[name] / periods[name] for name in lengths]))
    order = [
        np.argsort(np.argsort([each[name] for name in lengths])) for each in (estimated, periods)
    ]
    figures = {
        "spread": spread,
        "spread_of_unseen": float(np.std(list(unseen.values()))),
        "largest_error_of_unseen": max(abs(one - 1) for one in unseen.values()),
        "rank_correlation": float(np.corrcoef(*order)[0, 1]),
        "blocks": len(lengths),
        "blocks_with_hard_blocks_left_out": left_out,
    }
    rows = [
        row(name, "estimated_fmax", 1e3 / estimated[name], "MHz", "nextpnr-ecp5", reached[name])
        for name in lengths
    ]
    rows += [figure("all blocks", key, round(value, 3), "") for key, value in figures.items()]
    fit = {
        "command": "python bench/static_timing.py",
        "part": ECP5.title,
        "net_ns": net,
        "offset_ns": offset,
        "spread": round(spread, 3),
        "blocks": len(lengths),
    }
    write_json(FITTED, fit)
    print(f"written: {save('static_timing', rows)}\n{fit}\n{figures}")


if __name__ == "__main__":
    main()
