"""Measure blocks of hw/rtl with Yosys and fit their costs: makes hw/costs/<family>.json.

    python scripts/measure_costs.py [--only qd_mvu,qd_window] [--jobs 2] [--store FOLDER] [--fit]

Each block is synthesized as it would be inside a design. Results are stored under the hash of their
Verilog and memories, so that a second run, or one that was interrupted, only measures what is new.
With --only the rows of the other modules are kept; with --fit nothing is measured, and the existing
rows are fitted again. The file is written at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cost_fit import fitted
from cost_samples import MODULES, Sample, samples

from qdeploy.artifacts import write_json
from qdeploy.dataflow.cost.blocks import COMMAND, FEATURES, rtl_hash, without_comments
from qdeploy.dataflow.rtl.library import FOLDER
from qdeploy.dataflow.rtl.unit import Instance, Unit, padded
from qdeploy.devices.families import find_family
from qdeploy.resources import resource
from qdeploy.synth.cells import count
from qdeploy.synth.yosys import Yosys

ROOT = Path(__file__).resolve().parent.parent
MEMORY_PARAMETERS = ("WFILE", "TFILE", "MFILE", "BFILE")
BATCH_LUTS = 3000.0
BATCH_BLOCKS = 20


def measure(batch: Sequence[Sample], yosys: Yosys) -> list[dict[str, Any]]:
    """The rows of some blocks, synthesized in one run, each in a module kept apart."""
    names = [f"part{index}" for index in range(len(batch))]
    files: dict[str, str] = {}
    for name, sample in zip(names, batch, strict=True):
        unit = _unit(sample, name)
        files |= {f"{name}.v": f"(* keep_hierarchy *)\n{unit.verilog(name)}"}
        files |= {item: _library(item) for item in unit.files}
        files |= {item: "\n".join(lines) + "\n" for item, lines in unit.memories().items()}
    files["measured.v"] = _around(names, batch)
    bare = sorted((name, without_comments(text)) for name, text in files.items())
    key = hashlib.sha256(json.dumps([*yosys.key_parts(), bare]).encode())
    with tempfile.TemporaryDirectory(prefix="qdeploy-costs-") as scratch:
        folder = Path(scratch)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        verilog = [name for name in files if name.endswith(".v")]
        netlist = yosys.run(key.hexdigest(), "measured", folder, verilog)
    rows = []
    for name, sample in zip(names, batch, strict=True):
        counts = count(yosys.family, netlist.parts[name], name)
        rows.append(
            {
                "parameters": dict(sample.block.measures),
                "lut": counts.lut,
                "ff": counts.ff,
                "bram18": int(2 * counts.bram36),
                "dsp": counts.dsp,
            }
        )
    return rows


def _library(name: str) -> str:
    return (resource(FOLDER) / name).read_text(encoding="utf-8")


def _unit(sample: Sample, name: str) -> Unit:
    """The block as a unit; its memory files have unique names in the batch."""
    block = sample.block
    renamed: dict[str, int | str] = {
        key: f"{name}_{value}" if key in MEMORY_PARAMETERS else value
        for key, value in block.parameters.items()
    }
    sources = tuple(f"in{index}" for index in range(len(block.in_bits)))
    sinks = tuple(f"out{index}" for index in range(len(block.out_bits)))
    block = replace(block, parameters=renamed)
    memories = {f"{name}_{file}": lines for file, lines in sample.memories.items()}
    return Unit((Instance(block, sources, sinks),), lambda: memories)


def _around(names: Sequence[str], batch: Sequence[Sample]) -> str:
    """A top whose ports are those of all parts."""
    ports, lines = ["input wire ap_clk", "input wire ap_rst_n"], []
    for name, sample in zip(names, batch, strict=True):
        connections = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)"]
        block = sample.block
        ends = [("in", "input", i, bits) for i, bits in enumerate(block.in_bits)]
        ends += [("out", "output", i, bits) for i, bits in enumerate(block.out_bits)]
        for prefix, towards, index, bits in ends:
            port, back = f"{prefix}{index}_V", "output" if towards == "input" else "input"
            for signal, way, width in (
                ("TDATA", towards, padded(bits)),
                ("TVALID", towards, 1),
                ("TREADY", back, 1),
            ):
                ports.append(f"{way} wire [{width - 1}:0] {name}_{port}_{signal}")
                connections.append(f".{port}_{signal}({name}_{port}_{signal})")
        for probe, width in block.probes.items():
            ports.append(f"output wire [{width - 1}:0] {name}_{probe}")
            connections.append(f".{probe}({name}_{probe})")
        lines.append(f"  {name} {name}_i ({', '.join(connections)});")
    return "\n".join([f"module measured ({', '.join(ports)});", *lines, "endmodule", ""])


def batches(module: str) -> list[list[Sample]]:
    """A module's samples in groups of about equal size, so that a run takes seconds."""
    found: list[list[Sample]] = [[]]
    size = 0.0
    for sample in samples(module):
        weight = sum(FEATURES[module](sample.block.measures).lut)
        if found[-1] and (size + weight > BATCH_LUTS or len(found[-1]) >= BATCH_BLOCKS):
            found.append([])
            size = 0.0
        found[-1].append(sample)
        size += weight
    return found


def main() -> None:
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="modules to measure, separated by commas")
    parser.add_argument("--jobs", type=int, default=2, help="Yosys processes at a time")
    parser.add_argument("--family", default="xc7")
    store = ROOT / "build/.cache/costs"
    parser.add_argument(
        "--store", type=Path, default=store, help="folder of stored results [build/.cache]"
    )
    parser.add_argument("--fit", action="store_true", help="only fit the existing rows")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(MODULES)
    unknown = set(chosen) - set(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; one of {', '.join(MODULES)}")
    path = ROOT / "hw/costs" / f"{arguments.family}.json"
    yosys = Yosys(find_family(arguments.family), arguments.store)
    measured: dict[str, Any] = {}
    for module in [] if arguments.fit else chosen:
        digest, groups = rtl_hash(module), batches(module)
        rows: list[dict[str, Any]] = []
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for more in pool.map(lambda group: measure(group, yosys), groups):
                rows += more
                total = sum(len(group) for group in groups)
                print(f"{module} {len(rows)}/{total}", flush=True)
        if rtl_hash(module) != digest:
            sys.exit(f"the Verilog of `{module}` changed during the run: run {COMMAND} again")
        measured[module] = {"rtl_sha256": digest, "rows": rows}
    # Read now: another run may have written other modules since.
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    modules: dict[str, Any] = {**known.get("modules", {}), **measured}
    for module, entry in modules.items():
        entry |= fitted(module, entry["rows"])
        print(f"{module}: " + ", ".join(f"{k} {v}" for k, v in entry["fit"].items()))
    source = known.get("source") if arguments.fit else yosys.source
    table = {
        "family": arguments.family,
        "source": source,
        "command": COMMAND,
        "modules": {module: modules[module] for module in sorted(modules)},
    }
    write_json(path, table)


if __name__ == "__main__":
    main()
