"""What weights that are loaded at run time cost: designs with them and without, on a PYNQ-Z2.

    python bench/runtime_weights.py [--only PATTERN] [--cache FOLDER]

Each network has random, calibrated weights, is folded for the same frame rate twice, and is
synthesized as a whole with Yosys. Writes bench/results/runtime_weights.json with the rows `lut`,
`lutram` (LUTs as memory, part of `lut`), `ff`, `bram36` and `dsp`, the peer being the design whose
weights never change, and `image`, bytes that are loaded. No rung runs. Rows of networks left out
with --only are kept.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import figure, row, save, saved

ROOT = Path(__file__).resolve().parent.parent
RESOURCES = ("lut", "lutram", "ff", "bram36", "dsp")
PEER = "weights that never change"


@dataclass(frozen=True)
class Entry:
    """A network, its recipe below models/, and frames per second."""

    network: str
    recipe: str
    fps: float

    @property
    def name(self) -> str:
        """Of its rows."""
        return f"{self.network} at {self.fps:,.0f} frames/s"


ENTRIES = (
    Entry("digits", "quickstart/digits_fcdnn_w2a2.yaml", 100_000),
    Entry("digits", "quickstart/digits_fcdnn_w2a2.yaml", 1_500_000),
    Entry("fashion-convnet", "quickstart/fashion_convnet_w2a2.yaml", 5_000),
    Entry("resnet8-w2a2", "mlperf_tiny/resnet8_w2a2.yaml", 1_000),
)


def built(entry: Entry, folder: Path, cache: Path, *, loaded: bool) -> tuple[dict[str, Any], int]:
    """Resources of one design, and bytes of its image."""
    from qdeploy.build.build import build
    from qdeploy.build.options import ANALYTIC, Options
    from qdeploy.build.source import NetworkSource
    from qdeploy.build_folder import read_design
    from qdeploy.networks.calibrated import calibrated_random, pattern_frames
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.verify.ladder import RUNGS

    recipe = load_recipe(ROOT / "models" / entry.recipe)
    network = calibrated_random(recipe)
    images = pattern_frames(network.input_shape, 8, seed=1).numpy()
    options = Options(
        Path(entry.recipe),
        fps=entry.fps,
        frames=8,
        skip=RUNGS,
        fifo_depths=ANALYTIC,
        cache=cache,
        runtime_weights=loaded,
    )
    source = NetworkSource(entry.network, network, images, recipe.quantization.input_bits)
    made = build(options, folder / f"loaded-{loaded}", source=source).folder
    resources = json.loads((made / "resources.json").read_text(encoding="utf-8"))
    loading = read_design(made).loading
    return resources, 0 if loading is None else loading.bytes


def measure(entry: Entry, folder: Path, cache: Path) -> list[dict[str, Any]]:
    """Rows of one network."""
    plain, _ = built(entry, folder, cache, loaded=False)
    loaded, size = built(entry, folder, cache, loaded=True)
    rows = [
        row(entry.name, kind, loaded[kind], kind, PEER, plain[kind])
        if plain[kind]
        else figure(entry.name, kind, loaded[kind], kind)
        for kind in RESOURCES
    ]
    return [*rows, figure(entry.name, "image", size, "bytes")]


def main() -> None:
    """Measure the selected networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of row names")
    parser.add_argument("--cache", type=Path, help="folder of results kept by content")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        for index, entry in enumerate(ENTRIES):
            if not fnmatch.fnmatch(entry.name, arguments.only):
                continue
            folder = Path(name) / str(index)
            rows = measure(entry, folder, arguments.cache or Path(name) / "cache")
            others = [one for one in saved("runtime_weights") if one["network"] != entry.name]
            save("runtime_weights", [*others, *rows])
            figures = ", ".join(f"{one['metric']} {one['value']:,}" for one in rows)
            print(f"{entry.name}: {figures}", flush=True)


if __name__ == "__main__":
    main()
