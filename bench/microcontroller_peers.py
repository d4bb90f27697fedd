"""A fully connected network on a bare core in C, beside emlearn's of the same layers.

    pip install emlearn; apt-get install libnewlib-arm-none-eabi
    python bench/microcontroller_peers.py

The digits' FCDNN, W2A2 with random, calibrated weights, balanced, on the Cortex-M0+ under QEMU, and
emlearn's code of as many layers of the same sizes in float (the loops of its fixed point are not
written in 0.23.2): both compiled with -O3 and counted by the same timer in the same run. Flash and
RAM are the linker's, RAM with input, result and measured stack. The peer's class is checked with
numpy. emlearn is no dependency: it needs a C library where ours needs none. Writes
bench/results/microcontroller_peers.json.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from microcontroller import random_source
from record import row, save

NAME, RECIPE, CORE = "digits-fcdnn-w2a2", "quickstart/digits_fcdnn_w2a2.yaml", "cortex-m0plus"
PEER = "emlearn, float"
# No arithmetic is done by the harness while it counts; the stack is painted as in the rungs.
MAIN = """
#include <stdint.h>
#include "start.h"
#include "counter.h"
int32_t peer_predict(const float *values, int32_t count);
static float input[INPUTS];
static void print(const char *name, uint32_t value) {
    char text[16];
    char *p = text + 15;
    *p = 0;
    *--p = '\\n';
    do {
        *--p = (char)('0' + value % 10u);
    } while ((value /= 10u) != 0u);
    host(4, name);
    host(4, p);
}
static int __attribute__((noinline)) run(void) { return (int)peer_predict(input, INPUTS); }
static void bare_main(void) {
    uint32_t *here, *p, before, count;
    int found;
    for (int i = 0; i < INPUTS; i++) {
        input[i] = (float)(i % 16);
    }
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (p = stack_low; p < here; p++) {
        *p = 0xA5C3F00Du;
    }
    start_counter();
    before = counter();
    found = run();
    count = (counter() - before) & COUNTED;
    for (p = stack_low; p < here && *p == 0xA5C3F00Du; p++) {
    }
    print("instructions ", count * 40u);
    print("stack ", (uint32_t)((uintptr_t)here - (uintptr_t)p));
    print("class ", (uint32_t)found);
    end(found >= 0);
}
"""


def ours(folder: Path) -> tuple[dict[str, float], list[tuple[int, int]]]:
    """Our figures, and inputs and outputs of each layer."""
    from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE
    from qdeploy.codegen.c.cores import load_core
    from qdeploy.codegen.c.generate import generate
    from qdeploy.codegen.c.program import program_of
    from qdeploy.ir.integer_graph import Dense
    from qdeploy.lowering.integers.lower import lower_with_affine
    from qdeploy.verify.rungs.c_bare import run_bare

    source = random_source(NAME, RECIPE)
    source.write_qonnx(folder / "network.onnx")
    graph = lower_with_affine(folder / "network.onnx").graph
    program = program_of(graph, OPTIMIZE[BALANCED])
    sources = folder / "sources"
    sources.mkdir()
    generate(program, sources)
    frames = source.frames(graph, 20, 0).codes[:1]
    _, measured = run_bare(program, sources, "network", load_core(CORE), frames)
    layers = [one.weights.shape[::-1] for one in graph.nodes if isinstance(one, Dense)]
    buffers = measured.arena + program.source.bytes + program.result.bytes + measured.static
    return {
        "instructions_per_frame": measured.instructions or 0,
        "flash": measured.flash,
        "ram": buffers + measured.stack,
    }, [(int(a), int(b)) for a, b in layers]


def emlearns(layers: list[tuple[int, int]], folder: Path) -> dict[str, int]:
    """The peer's figures for layers of these inputs and outputs."""
    import emlearn
    from emlearn import cgen
    from emlearn.net import c_generate_net_inline

    from qdeploy.codegen.c.cores import load_core
    from qdeploy.resources import resource
    from qdeploy.verify.map_file import FLASH, RAM, section_bytes

    random, core = np.random.default_rng(0), load_core(CORE)
    weights = [random.normal(0, 0.1, shape) for shape in layers]
    biases = [random.normal(0, 0.1, shape[1]) for shape in layers]
    activations = ["relu"] * (len(layers) - 1) + ["identity"]
    declare = cgen.constant_declare

    def declared(name: str, value: Any, dtype: str = "int") -> str:
        # emlearn 0.23.2 takes the name of an activation for a number, and fails.
        if isinstance(value, str):
            return f"static const EmlNetActivationFunction {name} = {value};"
        return str(declare(name, value, dtype))

    cgen.constant_declare = declared
    try:
        code = c_generate_net_inline(activations, weights, biases, "peer", use_fixedpoint=False)
    finally:
        cgen.constant_declare = declare
    (folder / "peer.c").write_text(code, encoding="utf-8")
    (folder / "main.c").write_text(MAIN, encoding="utf-8")
    checks, headers = resource("export/c/checks"), Path(emlearn.__file__).parent
    common = [
        *("arm-none-eabi-gcc", *core.flags, "-O3", "-std=gnu99", "-ffunction-sections"),
        *("-fdata-sections", "-nostartfiles", "-I", str(headers), "-Wl,--gc-sections"),
        f"-DINPUTS={layers[0][0]}",
    ]
    libraries = ["-lm", "-lc", "-lgcc", "--specs=nosys.specs"]
    with_main = ["-I", str(checks), "main.c", "peer.c", "-T", str(checks / "arm.ld")]
    alone = ["peer.c", "-Wl,-e,peer_predict", "-Wl,-Map=alone.map"]
    for what in ([*with_main, "-o", "main.elf"], [*alone, "-o", "alone.elf"]):
        subprocess.run([*common, *what, *libraries], cwd=folder, check=True, capture_output=True)
    command = [core.emulator, *core.machine_arguments, "-icount", "shift=0", "-kernel", "main.elf"]
    done = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=300
    )
    words = (done.stdout + done.stderr).split()
    found = {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    values = np.arange(layers[0][0]) % 16
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = values @ weight + bias
        values = np.maximum(values, 0) if number + 1 < len(layers) else values
    if found["class"] != int(values.argmax()):
        raise SystemExit(f"emlearn gives class {found['class']}, numpy {values.argmax()}")
    text = (folder / "alone.map").read_text(encoding="utf-8")
    buffers = section_bytes(text, RAM) + 4 * layers[0][0]
    return {
        "instructions_per_frame": found["instructions"],
        "flash": section_bytes(text, FLASH),
        "ram": buffers + found["stack"],
    }


def main() -> None:
    """Measure both."""
    warnings.simplefilter("ignore")
    version = importlib.metadata.version("emlearn")
    units = {"instructions_per_frame": "instructions", "flash": "bytes", "ram": "bytes"}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        mine, layers = ours(Path(name))
        theirs = emlearns(layers, Path(name))
    for metric, unit in units.items():
        found = row(NAME, f"{CORE}_{metric}", mine[metric], unit, PEER, theirs[metric])
        rows.append({**found, "value": mine[metric], "peer_value": theirs[metric]})
        print(f"{metric}: {mine[metric]:,} {unit}, {PEER} {theirs[metric]:,}", flush=True)
    save("microcontroller_peers", rows, {"emlearn": version})


if __name__ == "__main__":
    main()
