"""Images per second of a quantized step in the processes of a `torchrun`; see `training`.

    torchrun --nproc-per-node 2 bench/training_processes.py RECIPE [--rounds 15]

Each process has one thread and its share of the batch. The first one prints the rate of all, from
the median step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import warnings

import torch
import torch.distributed as dist
import torch.utils.deterministic
from training import BATCH, CHANGES, Contender, random_images

from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.allocator import freed_memory_kept
from qdeploy.training.launch import Launch
from qdeploy.training.workers import joined


def main() -> None:
    """Measure, and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="below models/, without its ending")
    parser.add_argument("--rounds", type=int, default=15, help="steps that are timed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = load_recipe(resource(f"models/{given.recipe}.yaml"), CHANGES)
    with freed_memory_kept(), joined(Launch.of(os.environ), "cpu", 60) as workers:
        one = Contender(
            recipe, random_images(recipe), "quantized", "channels last", "float32", workers
        )
        seconds = []
        for _ in range(given.rounds + 2):
            if workers.world > 1:
                dist.barrier()
            seconds.append(one.step())
        if workers.is_first:
            print(BATCH / statistics.median(seconds[2:]))


if __name__ == "__main__":
    main()
