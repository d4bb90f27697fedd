"""A training step of quantized networks, compared with a float step of the same network.

    python bench/training.py [--rounds 15] [--threads 1 2] [--only TEXT]

A step is the one of `qdeploy train`: gradients to zero, forward, loss, backward, finite checks,
SGD, metrics, with a batch that is in memory. The quantized network has fixed weight steps and
PACT's clips; the peer in the same run is Brevitas, whose own `IntQuant` quantizes the same network
in the same step. Contenders take turns, each figure is the median over the rounds in wall time, and
the float step is that of the faster memory format. `evaluation` is the network on 500 images
without gradients. Writes bench/results/training.json; with --only nothing is stored.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from qdeploy.training.batches import Batching
from qdeploy.training.journal import Journal
from qdeploy.training.objective import tally
from qdeploy.training.phase import PhaseTrainer, _Moment
from qdeploy.training.quantize import quantized_from, trainable

CHANGES = ("quantization.weight_step=fixed", "quantization.clip_gradient=pact")
NETWORKS = {
    "ResNet-8": "mlperf_tiny/resnet8_w2a2",
    "ResNet-20": "boo2020/resnet20_width16_w2a2",
    "MobileNetV2 x0.25": "boo2020/mobilenetv2_x0.25_w2a2",
    "FCDNN 64-2": "quickstart/digits_fcdnn_w2a2",
}
BATCH, EVALUATED = 128, 500
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
PRECISIONS = ("float32", "bfloat16")


class Contender:
    """A network with everything that its step needs.

    Args:
        kind: float, quantized, lipschitz (quantized with the term L_Lip), torch (quantized without
            the compiled kernels) or brevitas.
    """

    def __init__(
        self, recipe: Recipe, dataset: Dataset, kind: str, layout: str, precision: str
    ) -> None:
        self.kind, self.dataset = kind, dataset
        floating = trainable(recipe, quantized=False)
        network = floating if kind == "float" else quantized_from(recipe, floating, dataset)
        self.network: nn.Module = network.to(memory_format=FORMATS[layout])  # type: ignore[call-overload]
        if kind != "float":
            fix_weight_steps(self.network)
        # An untrained network stays what it is at a rate that moves nothing.
        still = recipe.phases[-1].optimizer.model_copy(update={"lr": 1e-12})
        term = 1e-4 if kind == "lipschitz" else 0.0
        phase = recipe.phases[-1].model_copy(
            update={"lipschitz": term, "ema": 0.0, "optimizer": still}
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
            journal,  # type: ignore[arg-type]
        )
        images, labels = dataset.train.read(range(BATCH))
        self.inputs = (images.float() / 256).contiguous(memory_format=FORMATS[layout])
        self.labels = labels
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
    """Seconds of one call."""
    began = time.perf_counter()
    call()
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


def measure(title: str, path: str, threads: int, rounds: int) -> list[dict[str, Any]]:
    """All rows of a network with so many threads."""
    torch.set_num_threads(threads)
    recipe = load_recipe(resource(f"models/{path}.yaml"), CHANGES)
    dataset = random_images(recipe)
    layouts = list(FORMATS) if dataset.shape[1] > 1 else ["contiguous"]
    kinds = [("float", "float32"), ("float", "bfloat16")]
    kinds += [("quantized", one) for one in PRECISIONS]
    kinds += [("lipschitz", "float32"), ("torch", "float32"), ("brevitas", "float32")]
    contenders = {
        (kind, precision, layout): Contender(recipe, dataset, kind, layout, precision)
        for kind, precision in kinds
        for layout in layouts
    }
    steps = medians({key: one.step for key, one in contenders.items()}, rounds)
    evaluated = {
        key: one for key, one in contenders.items() if key[1] == "float32" and key[0] != "lipschitz"
    }
    evaluations = medians({key: one.evaluation for key, one in evaluated.items()}, rounds)
    rows = []
    base = min(steps["float", "float32", layout] for layout in layouts)
    quick = min(evaluations["float", "float32", layout] for layout in layouts)
    for layout in layouts:
        for precision in PRECISIONS:
            name = f"{title}, {layout}, {precision}, {threads} thread" + "s" * (threads > 1)
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
            term = steps["lipschitz", precision, layout] * 1e3
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
    for one in rows:
        ratio = "" if one["ratio"] is None else f"  ratio {one['ratio']}"
        print(f"{one['network']}: {one['metric']} {one['value']} {one['unit']}{ratio}", flush=True)
    return rows


def main() -> None:
    """Measure the networks, print each row, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="steps that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch")
    parser.add_argument("--only", default="", help="networks whose names contain this")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True)
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False
    rows = []
    for title, path in NETWORKS.items():
        if given.only in title:
            for threads in given.threads:
                torch.manual_seed(0)
                rows += measure(title, path, threads, given.rounds)
    if not given.only:
        print(f"written: {save('training', rows)}")


if __name__ == "__main__":
    main()
