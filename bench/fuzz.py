"""Random networks through every level: QONNX, integers, onnxruntime, FINN, RTL.

    python bench/fuzz.py [--count 240] [--seed 0]

Each network is drawn from its own seed, so that a failure can be reproduced by its number. Every
level must give the same codes at every boundary. Failures are listed at the end, and the exit code
is then 1. Writes bench/results/fuzz.json: how much was compared, and how many networks had each
feature.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from record import figure, save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))


def main() -> int:
    """Check the networks of consecutive seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=240, help="networks to check")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from draw_networks import RandomDraw, draw_network
    from fuzz import check

    from qdeploy.errors import QDeployError

    start, outcomes, failed = time.monotonic(), [], {}
    features: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            work = Path(folder) / f"network{seed}"
            work.mkdir()
            network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
            print(f"seed {seed}: ", end="", flush=True)
            try:
                outcome = check(network, work, Path(folder) / "models", seed=seed)
            except (AssertionError, QDeployError) as error:
                failed[seed] = f"{type(error).__name__}: {error}".splitlines()[0]
                print(failed[seed], flush=True)
                continue
            shutil.rmtree(work)
            outcomes.append(outcome)
            features.update(outcome.features)
            print(
                f"{outcome.boundaries} boundaries, {outcome.codes:,} codes, "
                f"{outcome.cycles_per_frame:,} cycles per frame",
                flush=True,
            )
    name = f"random, seeds {arguments.seed} to {arguments.seed + arguments.count - 1}"
    figures = [
        ("rtl_networks", len(outcomes), "networks"),
        ("rtl_failed_networks", len(failed), "networks"),
        ("rtl_boundaries", sum(outcome.boundaries for outcome in outcomes), "boundaries"),
        ("rtl_codes", sum(outcome.codes for outcome in outcomes), "codes"),
        ("seconds", round(time.monotonic() - start), "s"),
        *((f"with {feature}", count, "networks") for feature, count in sorted(features.items())),
    ]
    save("fuzz", [figure(name, metric, value, unit) for metric, value, unit in figures])
    for seed, error in failed.items():
        print(f"seed {seed} failed: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
