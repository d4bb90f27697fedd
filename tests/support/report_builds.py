"""A build folder with everything that a report shows, small and without building anything.

Names are awkward on purpose: long ones, and ones that would be tags.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hand_made_graphs import block

from qdeploy.design.manifest import Connection, Design, End, Fifo, Layer, Stream
from qdeploy.ir.file import write_graph

LONG = "group1.block1.a_branch_with_a_name_that_is_longer_than_a_telephone_is_wide"
TAG = "<script>document.title='run'</script>"
CLASSES = ("cat", TAG, "a class whose name is long enough to be a sentence of its own")
PHASES = ("pretrain", TAG, "finetune")

BY_CLASS = {
    "classes": list(CLASSES),
    "confusion": [[800, 20, 0], [10, 400, 0], [0, 0, 500]],
    "accuracy": 0.98,
    "balanced_accuracy": 0.98,
    "precision": [0.98, 0.95, 1.0],
    "recall": [0.97, 0.97, 1.0],
    "f1": [0.98, 0.96, 1.0],
}


# `boards.json` of a build with one larger board.
LARGER_BOARDS: dict[str, Any] = {
    "source": "solved",
    "boards": [
        {
            "board": "kv260",
            "clock_mhz": 150.0,
            "cycles_per_frame": 100,
            "fps": 1_500_000.0,
            "lut": 9_000,
            "bram36": 4.5,
            "dsp": 0,
            "dma_bound": True,
        }
    ],
}


def design() -> Design:
    """Four hardware layers of the graph `block`, and many that only carry codes on."""
    port = Stream("s_axis", "x", (1, 2, 2), 2, False, 2)
    tap = Stream("tap0", "out", (1, 2, 2), 2, False, 1)
    nodes = [node.name for node in block().nodes]
    layers = [
        Layer("conv_pad", "block.conv", "FMPadding", "conv_pad", 100, {"SIMD": 2}, nodes=nodes[:1]),
        Layer("conv_vvau", "block.conv", "VVAU", "conv_vvau", 400, {"PE": 2, "SIMD": 2}, 800,
              "depthwise units", nodes[:1]),
        Layer("add", "block.add", "ElementwiseAdd", "add", 200, nodes=nodes[1:]),
    ]  # fmt: skip
    layers += [
        Layer(f"{LONG.replace('.', '_')}_{at}", LONG, "StreamingFIFO", f"fifo_{at}", 50 + at)
        for at in range(20)
    ]
    return Design(
        name=f"net {TAG}",
        top="net_top",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=[],
        memories=[],
        input=port,
        output=Stream("m_axis", "y", (1, 2, 2), 2, False, 1),
        taps=[tap],
        fifos=[Fifo("fifo_0", 32, 8, "fifo_0_fill")],
        layers=layers,
        streams=[
            Connection(0, 8, End("", "s_axis"), End("conv_pad", "in0")),
            Connection(1, 8, End("add", "out0"), End("", "m_axis"), tap="tap0"),
        ],
    )


def rows() -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl` of three phases."""
    made = []
    for phase, name in enumerate(PHASES):
        for epoch in range(1, 9):
            good = 0.5 + 0.05 * epoch
            made.append(
                {
                    "phase": name,
                    "phase_index": phase,
                    "kind": "retrain",
                    "epoch": epoch,
                    "epochs": 8,
                    "lr": 0.1 / (epoch + 8 * phase),
                    "loss": 2.0 / (epoch + phase),
                    "lipschitz": 300.0 + epoch,
                    "train_accuracy": good,
                    "validation_accuracy": good - 0.02,
                    **({"accuracy": good - 0.03} if epoch == 8 else {}),
                    "images_per_second": 1000.0,
                    "seconds": 1.5,
                }
            )
    return made


def rungs(*, fails: bool) -> list[dict[str, Any]]:
    """Of `verify.json`: one that fails in one code, where wanted, and one that was skipped."""
    rtl: dict[str, Any] = {
        "name": "rtl",
        "frames": 20,
        "boundaries": 2,
        "codes": 160,
        "mismatches": int(fails),
        "must_be_exact": True,
        "coverage": {"weights": 0.875, "thresholds": 0.5, "channels": 1.0},
        "passed": not fails,
    }
    if fails:
        rtl["note"] = "frame 3, `out`, channel 1, row 0, column 1: 3 instead of 1"
        around = {
            "before": "code",
            "differing": 1,
            "codes": 160,
            "corner": [0, 0],
            "expected": [[0, 1], [2, 3]],
            "actual": [[0, 3], [2, 3]],
        }
        place = {"boundary": "out", "frame": 3, "index": [1, 0, 1], "expected": 1, "actual": 3}
        rtl["details"] = {"first_difference": {**place, "around": around}}
    skipped = {"name": "netlist", "skipped": f"{TAG} is not installed"}
    return [rtl, skipped]


def make_build(folder: Path, *, fails: bool = False) -> Path:
    """The folder of a build whose RTL differs in one code where it `fails`."""
    (folder / "rtl").mkdir(parents=True)
    design().save(folder / "rtl")
    write_graph(block(), folder / "model.graph.safetensors")
    layers = [
        {"name": one.name, "lut": 10 + at, "ff": 5, "bram36": 0.5, "dsp": 0}
        for at, one in enumerate(design().layers)
    ]
    available = {"lut": 53_200, "ff": 106_400, "bram36": 140, "dsp": 220}
    used = {"lut": 50_000, "ff": 500, "bram36": 1.5, "dsp": 2}
    records: dict[str, Any] = {
        "resources": {
            **used,
            "available": available,
            "fits": True,
            "source": "Yosys 0.23",
            "notes": [TAG],
            "outside": {"lut": 50},
            "layers": layers,
        },
        "performance": {"cycles_per_frame": 500, "latency_cycles": 900, "clock_mhz": 100.0},
        "verify": {"passed": not fails, "rungs": rungs(fails=fails)},
        "boards": LARGER_BOARDS,
        "estimates": {
            "layers": {
                "conv_vvau": {
                    "qdeploy": {"lut": 720, "bram36": 1.5, "dsp": 0},
                    "finn": {"lut": 0.0, "bram36": 2.0, "dsp": 8},
                }
            }
        },
        "classes": BY_CLASS,
        "build": {
            "versions": {"qdeploy": "0.1.0"},
            "options": {"seed": 7, "source": "nowhere", "target": "pynq"},
            "accuracy_int": 0.98,
            "notes": [TAG],
        },
    }
    for name, data in records.items():
        (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "recipe.yaml").write_text(f"name: {TAG}\n# {'long ' * 60}\n", encoding="utf-8")
    write_rows(folder)
    return folder


def write_rows(folder: Path) -> None:
    """`metrics.jsonl`."""
    text = "".join(json.dumps(row) + "\n" for row in rows())
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")


def make_run(folder: Path, *, finished: bool = True) -> Path:
    """The folder of a training run, without its weights."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"name: {TAG}\n", encoding="utf-8")
    write_rows(folder)
    if finished:
        phases = [
            {"name": name, "kind": "retrain", "epochs": 8, "accuracy": 0.87, "seconds": 75.0}
            for name in PHASES
        ]
        summary = {
            "name": f"run {TAG}",
            "phases": phases,
            "seconds": 7384.0,
            "by_class": BY_CLASS,
            "provenance": {"versions": {"qdeploy": "0.1.0"}, "git": "abc", "machine": {"cores": 2}},
            "protocol": {"images": {"train": 1295, "test": 360}, "keep": TAG},
        }
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def make_weights(folder: Path) -> Path:
    """A folder with `weights.json`: three levels, and 255 of them."""
    folder.mkdir(parents=True)
    wide = {"layer": LONG, "bits": 8, "lo": -127, "counts": [1] * 255, "per_step": 1}
    few = {"layer": TAG, "bits": 2, "lo": -1, "counts": [10, 30, 20], "per_step": 4}
    layers = [wide | {"histogram": [1] * 255}, few | {"histogram": [5] * 12}]
    (folder / "weights.json").write_text(json.dumps({"layers": layers}), encoding="utf-8")
    return folder
