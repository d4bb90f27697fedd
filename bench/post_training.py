"""Post-training quantization: methods, bits and seeds against the float network.

    python bench/post_training.py [--networks digits-mlp ...] [--seeds 0 1 2]

Two networks in float on scikit-learn's digits: a fully connected one, 64-64-64 (a run of the
trainer), and a convolutional one with depthwise layers (an ONNX file of torch's exporter), each
trained anew for each seed. Every method starts from the same float network. Rows are mean test
accuracies over the seeds; writes bench/results/post_training.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import rounded, save, saved
from torch import nn
from torch.nn import functional as F

from qdeploy.data.load import load_dataset
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.ptq.comparison import Comparison
from qdeploy.ptq.of_file import quantize_file
from qdeploy.ptq.of_run import quantize_run
from qdeploy.ptq.options import PostTraining
from qdeploy.recipe.models import Recipe
from qdeploy.training.train import train

BITS = (8, 6, 4, 3)
# Name -> options beside the bits.
WAYS: dict[str, dict[str, object]] = {
    "nearest codes": {"methods": ()},
    "one scale per layer": {"methods": (), "per_channel": False},
    "equalize, one scale per layer": {"methods": ("equalize",), "per_channel": False},
    "percentile 99.9": {"methods": (), "steps": "percentile", "percentile": 99.9},
    "bias correction": {"methods": ("bias-correction",)},
    "equalize": {"methods": ("equalize",)},
    "GPFQ": {"methods": ("gpfq",)},
    "GPTQ": {"methods": ("gptq",)},
    "AdaRound": {"methods": ("adaround",)},
    "equalize, GPTQ, bias correction": {"methods": ("equalize", "gptq", "bias-correction")},
}
FLOAT = "float"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "post-training.md"
MARKS = ("<!-- measured -->", "<!-- end -->")
TITLES = {
    "digits-mlp": "Fully connected, 64-64-64",
    "digits-depthwise": "Convolutional, with depthwise layers, 16x16",
}
FIGURE = "test accuracy"


class Depthwise(nn.Module):
    """A stem and three separable blocks at 16x16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16))
        blocks = []
        for inputs, outputs, stride in ((16, 24, 2), (24, 32, 2), (32, 48, 1)):
            blocks += [
                nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
                nn.BatchNorm2d(inputs),
                nn.ReLU(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.blocks(F.relu(self.stem(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mlp_recipe(seed: int) -> Recipe:
    """64-64-64, trained in float for 40 epochs."""
    rate = {"optimizer": {"lr": 0.1, "weight_decay": 5e-4}}
    schedule = {"schedule": {"type": "step", "milestones": [20, 30]}}
    return Recipe.model_validate(
        {
            "name": "digits-mlp",
            "seed": seed,
            "network": {"type": "fcdnn", "width": 64, "depth": 3},
            "data": {"name": "digits", "batch_size": 64, "validation": 0.1},
            "training": {"threads": 1},
            "phases": [
                {"name": "float", "kind": "pretrain", "epochs": 40, **rate, **schedule},
                {"name": "direct", "kind": "direct"},
            ],
        }
    )


def compared_mlp(seed: int, folder: Path) -> Iterator[tuple[str, int, Comparison]]:
    """Each way and width of the fully connected network."""
    run = train(mlp_recipe(seed), folder / "run")
    for way, bits, options in ways(seed):
        yield way, bits, quantize_run(run, folder / "made", options, force=True)


def enlarged(images: torch.Tensor) -> torch.Tensor:
    """Bytes (N, 1, 16, 16)."""
    large = F.interpolate(images.float(), size=16, mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8)


def compared_depthwise(seed: int, folder: Path) -> Iterator[tuple[str, int, Comparison]]:
    """Each way and width of the convolutional network.

    Frames of the test set come after those that are drawn for calibration: a file is compared on
    frames that no scale was chosen with, which here are those of the test set alone.
    """
    dataset = load_dataset(mlp_recipe(seed).data, None)
    x, y = enlarged(dataset.train_images), dataset.train_labels
    torch.manual_seed(seed)
    network = Depthwise()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15)
    for _ in range(15):
        for part in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x[part].float() / 255), y[part]).backward()
            optimizer.step()
        schedule.step()
    path = folder / "net.onnx"
    torch.onnx.export(network.eval(), (x[:1].float(),), str(path), dynamo=False, opset_version=17)
    np.savez(folder / "train.npz", images=x.numpy(), labels=y.numpy())
    test = enlarged(dataset.test_images).numpy()
    np.savez(folder / "test.npz", images=test, labels=dataset.test_labels.numpy())
    raw = parse_raw_type("uint8:1/255")
    for way, bits, options in ways(seed):
        made = quantize_file(
            path,
            folder / "made.onnx",
            folder / "train.npz",
            options,
            raw=raw,
            compare_on=folder / "test.npz",
            force=True,
        )
        yield way, bits, made.comparison


NETWORKS = {"digits-mlp": compared_mlp, "digits-depthwise": compared_depthwise}


def ways(seed: int) -> Iterator[tuple[str, int, PostTraining]]:
    """All ways with all widths."""
    for bits in BITS:
        for way, settings in WAYS.items():
            widths = {"weight_bits": bits, "activation_bits": bits, "end_bits": 8}
            yield way, bits, PostTraining(seed=seed, **widths, **settings)  # type: ignore[arg-type]


def measured(network: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Rows of a network: the mean of its seeds, and each of them."""
    found: dict[tuple[str, int], list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for way, bits, one in NETWORKS[network](seed, Path(folder)):
                assert one.before is not None and one.after is not None
                found.setdefault((way, bits), []).append(one.after.accuracy)
                before = found.setdefault((FLOAT, 32), [])
                if len(before) <= seeds.index(seed):
                    before.append(one.before.accuracy)
                print(network, seed, way, bits, f"{one.after.accuracy:.4f}", flush=True)
    base = statistics.fmean(found[FLOAT, 32])
    rows = []
    for (way, bits), values in found.items():
        mean = statistics.fmean(values)
        rows.append(
            {
                "network": network,
                "metric": f"{FIGURE}, {way}" + ("" if way == FLOAT else f", {bits} bits"),
                "value": rounded(mean),
                "unit": f"of 1, mean of {len(values)} seeds",
                "peer": None if way == FLOAT else "the float network",
                "peer_value": None if way == FLOAT else rounded(base),
                "ratio": None if way == FLOAT else rounded(mean / base),
                "seeds": [round(value, 4) for value in values],
                "way": way,
                "bits": bits,
            }
        )
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The tables of docs/post-training.md: mean accuracies, and how far the seeds are apart."""
    parts = []
    for network, title in TITLES.items():
        own = [one for one in rows if one["network"] == network]
        if not own:
            continue
        (base,) = (one for one in own if one["way"] == FLOAT)
        bits = sorted({one["bits"] for one in own if one is not base}, reverse=True)
        seeds = len(base["seeds"])
        lines = [
            f"**{title}**: float {_cell(base)}, {seeds} seeds.",
            "",
            "| method | " + " | ".join(f"W{one}A{one}" for one in bits) + " |",
            "|---|" + "--:|" * len(bits),
        ]
        for way in WAYS:
            found = {one["bits"]: one for one in own if one["way"] == way}
            cells = " | ".join(_cell(found[one]) if one in found else "" for one in bits)
            lines.append(f"| {way} | {cells} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(one: dict[str, Any]) -> str:
    """Mean of the seeds, the smallest and the largest, in percent."""
    values = [100 * value for value in one["seeds"]]
    return f"{statistics.fmean(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def write_page() -> None:
    """Put the tables between the marks of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    made = f"{MARKS[0]}\n{page(saved('post_training'))}{MARKS[1]}"
    PAGE.write_text(before + made + after, encoding="utf-8")


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    if given.page:
        write_page()
        return
    warnings.simplefilter("ignore")
    for network in given.networks:
        rows = measured(network, given.seeds)
        others = [one for one in saved("post_training") if one["network"] != network]
        save("post_training", others + rows)
        write_page()


if __name__ == "__main__":
    main()
