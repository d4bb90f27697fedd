"""How many clock cycles of one core do packing and unpacking of the board's driver take?

    python bench/packing.py

The driver's own code, copied as into a package, with C and in numpy alone, on random frames of the
shapes and widths that networks have. Processor time of one core, turned into cycles by its nominal
clock: what a board's core needs more instructions for, or waits longer for, is not in it. Where the
cross compiler and user-mode QEMU of Debian are installed (`gcc-arm-linux-gnueabihf`, `qemu-user`),
instructions of the C code compiled for the Cortex-A9 of Zynq-7000 are counted as well.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import figure, rounded, row, save

from qdeploy.ir.input_thresholds import plain
from qdeploy.targets.pynq.package import copy_driver

ROUNDS = 7
# Shape of a frame, bits of a code, codes per beat, bytes of a DMA beat, shift of raw bytes.
INPUTS = {
    "3x32x32, 8 bits, 3 per beat": ((3, 32, 32), 8, 3, 4, 0),
    "1x28x28, 8 bits, 1 per beat": ((1, 28, 28), 8, 1, 1, 0),
    "3x32x32, 4 bits, 3 per beat": ((3, 32, 32), 4, 3, 2, 4),
    "3x32x32, 6 bits, 3 per beat": ((3, 32, 32), 6, 3, 4, 2),
    "3x180x240, 8 bits, 3 per beat": ((3, 180, 240), 8, 3, 4, 0),
}
# Elements of a frame's results, bits, elements per beat, bytes of a DMA beat.
OUTPUTS = {
    "10 of 16 bits, 1 per beat": (10, 16, 1, 2),
    "10 of 13 bits, 1 per beat": (10, 13, 1, 2),
    "29,700 of 12 bits, 11 per beat": (29_700, 12, 11, 32),
}


def main() -> None:
    """Measure, print, and write `results/packing.json`."""
    clock = nominal_hz()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        copy_driver(root / "driver")
        sys.path.insert(0, str(root))
        layouts = importlib.import_module("driver.layout")
        for name in INPUTS:
            made = {way: layout(layouts, name, way) for way in ("native", "numpy")}
            rows.append(packing(name, made, clock))
        for name in OUTPUTS:
            made = {way: layout(layouts, name, way) for way in ("native", "numpy")}
            rows.append(unpacking(name, made, clock))
        rows += instructions(root / "driver/native.c", root)
    for one in rows:
        print(one["network"], one["metric"], one["value"], one["unit"], one["peer_value"])
    print(f"written: {save('packing', rows)}")


def nominal_hz() -> float:
    """Of the first core, as Linux tells it."""
    found = re.search(r"cpu MHz\s*: ([0-9.]+)", Path("/proc/cpuinfo").read_text())
    if found is None:
        raise SystemExit("/proc/cpuinfo does not say the processor's clock")
    return float(found[1]) * 1e6


def layout(layouts: Any, name: str, way: str) -> Any:
    """The driver's layout of a case, its other stream a small one."""
    shape, bits, per_beat, width, shift = INPUTS.get(name, ((1, 4, 4), 8, 1, 1, 0))
    outputs, out_bits, out_per_beat, out_width = OUTPUTS.get(name, (10, 16, 1, 2))
    elements = int(np.prod(shape))
    limits = [0, (1 << bits) - 1]
    bundle = {
        "input": {
            "data_shape": list(shape),
            "stream_shape": [*shape[1:], shape[0]],
            "elements": elements,
            "bits": bits,
            "signed": False,
            "per_beat": per_beat,
            "beats": elements // per_beat,
            "dma_bytes_per_beat": width,
            "shift": shift,
            "range": limits,
            "raw_range": [0, 255] if shift else limits,
            "scale": None,
        },
        "output": {
            "stream_shape": [outputs],
            "elements": outputs,
            "bits": out_bits,
            "signed": True,
            "per_beat": out_per_beat,
            "beats": outputs // out_per_beat,
            "dma_bytes_per_beat": out_width,
        },
    }
    made = layouts.Layout(bundle, plain(None, *limits, shape), native=way == "native")
    if made.packing != way:
        raise SystemExit("the C code cannot be compiled here")
    return made


def packing(name: str, made: dict[str, Any], clock: float) -> dict[str, Any]:
    """Raw bytes packed per cycle."""
    shape = INPUTS[name][0]
    frames = max(1, 400_000 // int(np.prod(shape)))
    raw = np.random.default_rng(0).integers(0, 256, (frames, *shape)).astype(np.uint8)
    out = np.zeros((frames, made["native"].in_frame_bytes), dtype=np.uint8)

    def seconds(way: str) -> float:
        return best(lambda: made[way].to_beats(made[way].check(raw), out))

    ours, peer = (raw.size / (seconds(way) * clock) for way in ("native", "numpy"))
    return row(name, "packing", ours, "raw bytes per cycle", "numpy", peer)


def unpacking(name: str, made: dict[str, Any], clock: float) -> dict[str, Any]:
    """Result integers unpacked per cycle."""
    outputs = OUTPUTS[name][0]
    frames = max(1, 100_000 // outputs)
    size = (frames, made["native"].out_frame_bytes)
    data = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    ours, peer = (
        frames * outputs / (best(lambda way=way: made[way].from_beats(data)) * clock)
        for way in ("native", "numpy")
    )
    return row(name, "unpacking", ours, "integers per cycle", "numpy", peer)


def best(work: Callable[[], Any]) -> float:
    """The least processor time of several runs, in seconds."""
    work()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


PROGRAM = """
#include "native.c"
#include <stdlib.h>
static uint8_t raw[4 * {elements}], out[4 * {bytes}];
static uint32_t order[{elements}];
static uint16_t table[256];
int main(int count, char **arguments) {{
    const size_t frames = (size_t)atoi(arguments[1]);
    const uint32_t c = {channels}, pixels = {elements} / c;
    for (uint32_t e = 0; e < {elements}; ++e) order[e] = e % c * pixels + e / c;
    for (uint32_t value = 0; value < 256; ++value) table[value] = (uint16_t)(value >> {shift});
    const qd_input in = {{frames, {elements}, {per_beat}, {width}, {bits}, 0, 256, order, 0,
                          {shift} ? table : 0}};
    qd_pack_u8(&in, raw, out);
    return count > 2;
}}
"""


def instructions(source: Path, work: Path) -> list[dict[str, Any]]:
    """Instructions per raw byte on a Cortex-A9: those of two frames more, counted one by one."""
    compiler, emulator = shutil.which("arm-linux-gnueabihf-gcc"), shutil.which("qemu-arm")
    if compiler is None or emulator is None:
        print("no compiler for Arm or no QEMU here: its instructions are not counted")
        return []
    from driver.native import FLAGS

    flags = [flag for flag in FLAGS if flag not in ("-shared", "-fPIC")]
    rows = []
    for name, (shape, bits, per_beat, width, shift) in INPUTS.items():
        elements = int(np.prod(shape))
        if elements > 10_000 or shape[0] == 1:
            continue  # as a smaller one, or a copy
        text = PROGRAM.format(
            elements=elements,
            bytes=elements // per_beat * width,
            channels=shape[0],
            shift=shift,
            per_beat=per_beat,
            width=width,
            bits=bits,
        )
        (work / "count.c").write_text(text)
        command = [compiler, *flags, "-mcpu=cortex-a9", "-static", f"-I{source.parent}"]
        subprocess.run([*command, "-o", work / "count", work / "count.c"], check=True)
        counted = []
        for frames in (1, 3):
            log = work / "count.log"
            log.unlink(missing_ok=True)
            trace = ["-singlestep", "-d", "exec,nochain", "-D", str(log)]
            subprocess.run([emulator, *trace, work / "count", str(frames)], check=True)
            with log.open("rb") as file:
                counted.append(sum(line.startswith(b"Trace") for line in file))
        each = (counted[1] - counted[0]) / (2 * elements)
        rows.append(
            figure(name, "packing, C on Cortex-A9", rounded(each), "instructions per raw byte")
        )
    return rows


if __name__ == "__main__":
    main()
