"""Random networks through every level: QONNX, integers, onnxruntime, FINN, RTL.

    python bench/fuzz.py [--count 200] [--seed 0]

Each network is drawn from its own seed: strides 1 to 3, dilation, 1xN maps, prime channel counts,
1 to 8 bits, signed and unsigned codes, negative and zero gains, power-of-two and arbitrary scales,
residual joins, depthwise units, pools. At every boundary every level has to give the same codes;
the first that does not stops the run and names the seed. Writes bench/results/fuzz.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from record import figure, save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))


def main() -> None:
    """Check the networks of consecutive seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="networks to check")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from fuzz import RandomDraw, check, draw_network

    start, codes, boundaries = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            work = Path(folder) / f"network{seed}"
            work.mkdir()
            draw = RandomDraw(np.random.default_rng(seed))
            path = draw_network(draw, seed).save(work / "network.onnx")
            print(f"seed {seed}: ", end="", flush=True)  # before the check: it names a failure
            outcome = check(path, work, models, seed=seed)
            codes, boundaries = codes + outcome.codes, boundaries + outcome.boundaries
            print(
                f"{outcome.boundaries} boundaries, {outcome.codes:,} codes, "
                f"{outcome.cycles_per_frame:,} cycles a frame",
                flush=True,
            )
    network = f"random, seeds {arguments.seed} to {arguments.seed + arguments.count - 1}"
    save(
        "fuzz",
        [
            figure(network, "rtl_networks", arguments.count, "networks"),
            figure(network, "rtl_boundaries", boundaries, "boundaries"),
            figure(network, "rtl_codes", codes, "codes"),
            figure(network, "rtl_mismatches", 0, "codes"),
            figure(network, "seconds", round(time.monotonic() - start), "s"),
        ],
    )


if __name__ == "__main__":
    main()
