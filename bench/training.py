"""A training step of quantized networks, compared with a float step of the same network.

    python bench/training.py [--rounds 15] [--threads 1 2] [--device cuda] [--only TEXT]

A step is the one of `qdeploy train`: gradients to zero, forward, loss, backward, finite checks,
SGD, metrics, with a batch that is in memory. The quantized network has fixed weight steps and
PACT's clips; the peer in the same run is Brevitas, whose own `IntQuant` quantizes the same network
in the same step. Contenders take turns, each figure is the median over the rounds in wall time, and
the float step is that of the faster memory format. `evaluation` is the network on 500 images
without gradients. What a second core brings is measured for threads and for processes
(`training_processes`), and a whole phase of small batches on the quickstart's recipe. Writes
bench/results/training.json; with --only nothing is stored.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.utils.deterministic
from brevitas.core.quant.int_base import IntQuant
from record import figure, row, save
from torch import nn

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.load import data_spec
from qdeploy.quant import native
from qdeploy.quant.fused import FusedIntQuant
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.resources import resource
from qdeploy.training.allocator import freed_memory_kept
from qdeploy.training.batches import Batching
from qdeploy.training.journal import Journal
from qdeploy.training.metrics import read_metrics
from qdeploy.training.objective import tally
from qdeploy.training.phase import PhaseTrainer, _Moment
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.train import train
from qdeploy.training.workers import ALONE, Workers

CHANGES = ("quantization.weight_step=fixed", "quantization.clip_gradient=pact")
NETWORKS = {
    "ResNet-8": "mlperf_tiny/resnet8_w2a2",
    "ResNet-20": "boo2020/resnet20_width16_w2a2",
    "MobileNetV2 x0.25": "boo2020/mobilenetv2_x0.25_w2a2",
    "FCDNN 64-2": "quickstart/digits_fcdnn_w2a2",
}
PROCESSES = ("ResNet-8", "ResNet-20")
QUICKSTART = "quickstart/digits_fcdnn_w2a2"
BATCH, EVALUATED = 128, 500
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


class Contender:
    """A network with everything that its step needs.

    Args:
        kind: float, quantized, torch (quantized without the compiled kernels) or brevitas.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        kind: str,
        layout: str,
        precision: Precision,
        workers: Workers = ALONE,
    ) -> None:
        self.kind, self.dataset = kind, dataset
        floating = trainable(recipe, quantized=False)
        network = floating if kind == "float" else quantized_from(recipe, floating, dataset)
        network = workers.ready(network)
        self.network: nn.Module = network.to(memory_format=FORMATS[layout])  # type: ignore[call-overload]
        if kind != "float":
            fix_weight_steps(self.network)
        # An untrained network stays what it is at a rate that moves nothing.
        still = recipe.phases[-1].optimizer.model_copy(update={"lr": 1e-12})
        phase = recipe.phases[-1].model_copy(
            update={"lipschitz": 0.0, "ema": 0.0, "optimizer": still}
        )
        journal = Journal(Path(tempfile.gettempdir()), "", writes=False)
        self.trainer = PhaseTrainer(
            phase,
            0,
            1,
            self.network,
            dataset,
            Batching.of(recipe),
            precision,
            journal,
            workers,
        )
        images, labels = dataset.train.read(range(BATCH // workers.world))
        inputs = (images.float() / 256).to(workers.device)
        self.inputs = inputs.contiguous(memory_format=FORMATS[layout])
        self.labels = labels.to(workers.device)
        self.evaluated = self.inputs.repeat(-(-EVALUATED // BATCH), 1, 1, 1)[:EVALUATED]

    def step(self) -> float:
        """Seconds of a step."""
        self.network.train()
        moment = _Moment(0, 0, self.inputs)
        with self._computing():
            return timed(
                lambda: self.trainer._step(self.inputs, self.labels, moment, tally(self.dataset))
            )

    def evaluation(self) -> float:
        """Seconds of the network on `EVALUATED` images."""
        self.network.eval()
        with self._computing(), torch.no_grad():
            return timed(lambda: self.network(self.evaluated))

    def lipschitz(self) -> float:
        """Seconds that the term L_Lip adds to a step."""
        return timed(lambda: self.trainer._lipschitz.add_gradient(1e-4))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        forward, takes = FusedIntQuant.forward, native.takes
        if self.kind == "brevitas":
            FusedIntQuant.forward = IntQuant.forward  # type: ignore[method-assign]
        else:
            self.trainer._direct.enter()
        if self.kind == "torch":
            native.takes = lambda *_: False
        try:
            yield
        finally:
            FusedIntQuant.forward, native.takes = forward, takes  # type: ignore[method-assign]
            self.trainer._direct.leave()


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, until a device has done what it was told."""
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def random_images(recipe: Recipe) -> Dataset:
    """Images of the recipe's shape; what they show changes no time."""
    spec = data_spec(recipe.data)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1024, *spec.shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, spec.classes, (1024,), generator=generator)
    names = tuple(map(str, range(spec.classes)))
    return in_memory("random", (images, labels), (images, labels), names)


def medians(calls: dict[Any, Callable[[], float]], rounds: int) -> dict[Any, float]:
    """Of the seconds that each call returns, which take turns; the first two turns do not count."""
    found: dict[Any, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, call in calls.items():
            seconds = call()
            if turn >= 2:
                found[name].append(seconds)
    return {name: statistics.median(values) for name, values in found.items()}


def measure(
    title: str, path: str, threads: int, rounds: int, device: torch.device
) -> list[dict[str, Any]]:
    """All rows of a network with so many threads, or on another device than the CPU."""
    torch.set_num_threads(threads)
    words = f"{threads} thread" + "s" * (threads > 1) if device.type == "cpu" else device.type
    workers = Workers(device=device)
    recipe = load_recipe(resource(f"models/{path}.yaml"), CHANGES)
    dataset = random_images(recipe)
    layouts = list(FORMATS) if dataset.shape[1] > 1 else ["contiguous"]
    kinds: list[tuple[str, Precision]] = [("float", "float32"), ("float", "bfloat16")]
    kinds += [("quantized", one) for one in PRECISIONS]
    kinds += [("torch", "float32"), ("brevitas", "float32")]
    contenders = {
        (kind, precision, layout): Contender(recipe, dataset, kind, layout, precision, workers)
        for kind, precision in kinds
        for layout in layouts
    }
    steps = medians({key: one.step for key, one in contenders.items()}, rounds)
    plain = {key: one for key, one in contenders.items() if key[:2] == ("quantized", "float32")}
    terms = medians({key: one.lipschitz for key, one in plain.items()}, rounds)
    evaluated = {key: one for key, one in contenders.items() if key[1] == "float32"}
    evaluations = medians({key: one.evaluation for key, one in evaluated.items()}, rounds)
    rows = []
    base = min(steps["float", "float32", layout] for layout in layouts)
    quick = min(evaluations["float", "float32", layout] for layout in layouts)
    for layout in layouts:
        for precision in PRECISIONS:
            name = f"{title}, {layout}, {precision}, {words}"
            quantized = steps["quantized", precision, layout]
            peer = "float32 step of the faster layout"
            rows.append(row(name, "train_step_vs_float", quantized * 1e3, "ms", peer, base * 1e3))
            rows.append(figure(name, "images_per_second", round(BATCH / quantized), "images/s"))
            if precision == "bfloat16":
                half = steps["float", precision, layout] * 1e3
                rows.append(row(name, "float_step", half, "ms", peer, base * 1e3))
                continue
            for kind, metric in (
                ("brevitas", "brevitas_step_vs_float"),
                ("torch", "step_without_kernels_vs_float"),
            ):
                seconds = steps[kind, precision, layout]
                rows.append(row(name, metric, seconds * 1e3, "ms", peer, base * 1e3))
            term = (quantized + terms["quantized", precision, layout]) * 1e3
            rows.append(
                row(name, "lipschitz_overhead", term, "ms", "the step without it", quantized * 1e3)
            )
            for kind, metric in (
                ("quantized", "evaluation_vs_float"),
                ("brevitas", "brevitas_evaluation_vs_float"),
            ):
                seconds = evaluations[kind, precision, layout]
                peer_name = "float evaluation of the faster layout"
                rows.append(row(name, metric, seconds * 1e3, "ms", peer_name, quick * 1e3))
    float_row = figure(
        f"{title}, {words}",
        "float_images_per_second",
        round(BATCH / base),
        "images/s",
    )
    return shown([*rows, float_row])


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, which are printed."""
    for one in rows:
        ratio = "" if one["ratio"] is None else f"  ratio {one['ratio']}"
        print(f"{one['network']}: {one['metric']} {one['value']} {one['unit']}{ratio}", flush=True)
    return rows


def threads_scaling(rows: list[dict[str, Any]], threads: list[int]) -> list[dict[str, Any]]:
    """What more threads bring to each kind of step, from rows of `measure`."""
    found = {(one["network"], one["metric"]): one["value"] for one in rows}
    few, many = min(threads), max(threads)
    words = {count: f"{count} thread" + "s" * (count > 1) for count in (few, many)}
    made = []
    for name, metric in list(found):
        other = name.removesuffix(words[many]) + words[few]
        if name.endswith(words[many]) and metric.endswith("images_per_second") and few != many:
            rates = found[name, metric], found[other, metric]
            kind = f"{metric.removesuffix('images_per_second')}threads_scaling"
            made.append(row(name, kind, rates[0], "images/s", words[few], rates[1]))
    return shown(made)


def processes_scaling(title: str, path: str, rounds: int) -> list[dict[str, Any]]:
    """What a second process of one thread brings, both started by torchrun."""
    script = Path(__file__).with_name("training_processes.py")
    rates = []
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
        command += [str(processes), str(script), path, "--rounds", str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rates.append(float(done.stdout.strip().splitlines()[-1]))
    name = f"{title}, float32, 2 processes"
    return shown([row(name, "processes_scaling", rates[1], "images/s", "1 process", rates[0])])


def small_phase() -> list[dict[str, Any]]:
    """Images per second of the quickstart's phases, as `qdeploy train` reports them."""
    recipe = load_recipe(resource(f"models/{QUICKSTART}.yaml"))
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder) / "run")
        for line in read_metrics(Path(folder) / "run"):
            rates.setdefault(line.phase, []).append(line.images_per_second)
    return shown(
        [
            figure(f"quickstart, phase {phase}", "images_per_second", round(median), "images/s")
            for phase, median in ((one, statistics.median(of)) for one, of in rates.items())
        ]
    )


def main() -> None:
    """Measure the networks, print each row, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="steps that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: one row per layout")
    parser.add_argument("--only", default="", help="networks whose names contain this")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True)
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False
    rows, device = [], torch.device(given.device)
    threads = given.threads if device.type == "cpu" else [1]
    with freed_memory_kept():
        for title, path in NETWORKS.items():
            if given.only in title:
                for count in threads:
                    torch.manual_seed(0)
                    rows += measure(title, path, count, given.rounds, device)
    if device.type == "cpu":
        rows += threads_scaling(rows, threads)
        for title in (one for one in PROCESSES if given.only in one):
            rows += processes_scaling(title, NETWORKS[title], given.rounds)
    if not given.only:
        torch.set_num_threads(1)
        rows += small_phase()
        print(f"written: {save('training', rows)}")


if __name__ == "__main__":
    main()
