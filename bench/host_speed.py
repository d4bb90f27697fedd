"""Networks in C on this machine, one core, against onnxruntime's int8 on the same topology.

    python bench/host_speed.py

ResNet-8 of MLPerf Tiny, W2A2, as `export --target c --optimize speed` writes it for hosts, compiled
with -O3 and for this processor, beside an int8 network of the same layers (QLinearConv, QLinearAdd)
in onnxruntime on one thread, with all of its optimizations. Both run in turn; each figure is
that of the fastest frame. Beside it the innermost loops that there could be for codes and weights
of 2 bits, bytes and bit planes (host_products.c): products per nanosecond, the most of all tries.
Writes bench/results/host_speed.json.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import figure, rounded, row, save

ROOT = Path(__file__).resolve().parent.parent
NAME, RECIPE = "resnet8-mlperf-tiny-w2a2", "mlperf_tiny/resnet8_w2a2.yaml"
ROUNDS, FRAMES = 20, 100
BUILDS = {
    "plain": ("-O3", "-DQD_PLAIN"),
    "avx2": ("-O3", "-mavx2"),
    "native": ("-O3", "-march=native"),
}
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "network.h"
static NETWORK_ARENA(arena);
static NETWORK_INPUT(codes);
static int32_t logits[NETWORK_OUTPUT_SIZE];
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}
int main(int count, char **arguments) {
    double best = 1e30;
    for (int i = 0; i < NETWORK_INPUT_SIZE; i++) {
        codes[i] = (network_input_t)(i * 7 % (NETWORK_INPUT_HI + 1));
    }
    for (int i = 0; i < atoi(arguments[count - 1]); i++) {
        const double begin = now();
        network_run(codes, logits, arena);
        const double took = now() - begin;
        best = took < best ? took : best;
    }
    printf("%.3f\\n", best);
    return 0;
}
"""


def programs(folder: Path) -> dict[str, Path]:
    """Build -> program that prints the microseconds of its fastest frame."""
    from qdeploy.build.source import NetworkSource
    from qdeploy.codegen.c.choices import OPTIMIZE
    from qdeploy.codegen.c.generate import generate
    from qdeploy.codegen.c.program import program_of
    from qdeploy.lowering.integers.lower import lower_with_affine
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe

    recipe = load_recipe(ROOT / "models" / RECIPE, [])
    network = calibrated_random(recipe)
    images = pattern_frames(network.input_shape, 4, seed=1).numpy()
    source = NetworkSource(NAME, network, images, recipe.quantization.input_bits)
    source.write_qonnx(folder / "network.onnx")
    graph = lower_with_affine(folder / "network.onnx").graph
    generate(program_of(graph, replace(OPTIMIZE["speed"], vector=True)), folder)
    (folder / "main.c").write_text(MAIN, encoding="utf-8")
    found = {}
    for name, flags in BUILDS.items():
        found[name] = folder / name
        files = [str(folder / file) for file in ("main.c", "network.c", "weights.c")]
        subprocess.run(["gcc", "-std=gnu99", *flags, *files, "-o", str(found[name])], check=True)
    return found


class Int8:
    """ResNet-8 with weights and codes of 8 bits in onnxruntime."""

    def __init__(self) -> None:
        import onnxruntime

        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._random = np.random.default_rng(0)
        for name, value in (("s", np.float32(0.1)), ("z", np.uint8(0)), ("zw", np.int8(0))):
            self._constant(name, np.asarray(value))
        x = self._conv("x", 3, 16)
        x = self._add(x, self._conv(self._conv(x, 16, 16), 16, 16))
        for depth in (16, 32):
            y = self._conv(self._conv(x, depth, 2 * depth, 3, 2), 2 * depth, 2 * depth)
            x = self._add(self._conv(x, depth, 2 * depth, 1, 2), y)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            self._model(x), options, providers=["CPUExecutionProvider"]
        )
        self._frame = {"x": self._random.integers(0, 256, (1, 3, 32, 32)).astype(np.uint8)}

    def fastest(self, frames: int) -> float:
        """Microseconds."""
        best = float("inf")
        for _ in range(frames):
            begin = time.perf_counter()
            self._session.run(None, self._frame)
            best = min(best, time.perf_counter() - begin)
        return best * 1e6

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, kind: str, inputs: list[str], domain: str = "", **more: Any) -> str:
        from onnx import helper

        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **more))
        return name

    def _conv(self, x: str, inputs: int, filters: int, size: int = 3, stride: int = 1) -> str:
        number, shape = len(self._nodes), (filters, inputs, size, size)
        weights = self._random.integers(-127, 128, shape).astype(np.int8)
        bias = self._random.integers(-500, 500, filters).astype(np.int32)
        names = [self._constant(f"w{number}", weights), "s", "zw", "s", "z"]
        more = {"pads": [size // 2] * 4, "strides": [stride] * 2, "kernel_shape": [size] * 2}
        bias_name = self._constant(f"b{number}", bias)
        return self._node("QLinearConv", [x, "s", "z", *names, bias_name], **more)

    def _add(self, one: str, other: str) -> str:
        names = [one, "s", "z", other, "s", "z", "s", "z"]
        return self._node("QLinearAdd", names, "com.microsoft")

    def _model(self, x: str) -> bytes:
        from onnx import TensorProto, helper

        x = self._node(
            "QLinearGlobalAveragePool", [x, "s", "z", "s", "z"], "com.microsoft", channels_last=0
        )
        x = self._node("Flatten", [x])
        head = self._random.integers(-127, 128, (64, 10)).astype(np.int8)
        names = [x, "s", "z", self._constant("head", head), "s", "zw", "s", "z"]
        x = self._node("QLinearMatMul", names)
        graph = helper.make_graph(
            self._nodes,
            "resnet8",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, 32, 32])],
            [helper.make_tensor_value_info(x, TensorProto.UINT8, [1, 10])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return bytes(model.SerializeToString())


def products(program: Path) -> dict[str, float]:
    """Loop -> products per nanosecond; its sums are compared with those of plain C."""
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return {
        name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())
    }


def main() -> None:
    """Run both in turn."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found, peer = programs(Path(folder)), Int8()
        loops, most = Path(folder) / "products", dict[str, float]()
        flags = ["-O3", "-march=native", str(ROOT / "bench/host_products.c"), "-o", str(loops)]
        subprocess.run(["gcc", "-std=gnu99", *flags], check=True)
        best = dict.fromkeys([*found, "peer"], float("inf"))
        for _ in range(ROUNDS):
            for name, program in found.items():
                done = subprocess.run(
                    [str(program), str(FRAMES)], capture_output=True, text=True, check=True
                )
                best[name] = min(best[name], float(done.stdout))
            best["peer"] = min(best["peer"], peer.fastest(FRAMES))
            for name, value in products(loops).items():
                most[name] = max(most.get(name, 0.0), value)
    peer_us = best.pop("peer")
    label = "onnxruntime int8, one thread"
    rows = [
        row(NAME, f"host_{name}_fps", 1e6 / took, "frame/s", label, 1e6 / peer_us)
        for name, took in best.items()
    ]
    rows += [
        figure("products of 2 bits", f"host_{name}", rounded(value), "products/ns")
        for name, value in most.items()
    ]
    save("host_speed", rows)
    for one in rows:
        print(f"{one['metric']}: {one['value']:,} {one['unit']}, {one['ratio']} x", flush=True)


if __name__ == "__main__":
    main()
