"""Damaged files of every kind: what becomes of reading them.

    python bench/broken_files.py [--count 20000] [--seed 1] [--only KIND]

The files are spread over the kinds as in the tests, which read a tenth as many, with another seed.
A file has to be read or refused with a message: a traceback, more than 10 s, more than 2 GiB, and a
program that starts are harm, which is listed at the end, with the file; the exit code is then 1.
Writes bench/results/broken_files.json.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from record import figure, save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))


def main() -> int:
    """Damage and read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="files, of all kinds together")
    parser.add_argument("--seed", default="1", help="of the changes")
    parser.add_argument("--only", help="a kind; its result is printed, and not stored")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from damage import damaged
    from damaged_kinds import KINDS

    everyone = sum(kind.count for kind in KINDS)
    rows, harms, total = [], [], 0
    for kind in KINDS:
        if arguments.only not in (None, kind.name):
            continue
        count = -(-kind.count * arguments.count // everyone)
        start = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="broken-"))
        outcome = damaged(kind, folder, count, arguments.seed)
        if not outcome.harms:
            shutil.rmtree(folder)
        total += count
        harms += [f"{kind.name}: {harm}" for harm in outcome.harms]
        figures = {
            "files": count,
            "refused": outcome.refused,
            "harmless": outcome.harmless,
            "harmful": len(outcome.harms),
        }
        rows += [figure(kind.name, metric, value, "files") for metric, value in figures.items()]
        rows.append(figure(kind.name, "slowest", round(outcome.slowest, 2), "s"))
        rows.append(figure(kind.name, "memory", outcome.mebibytes, "MiB"))
        seconds = time.monotonic() - start
        print(
            f"{kind.name:<20} {figures}, slowest {outcome.slowest:.2f} s, "
            f"{outcome.mebibytes} MiB; {seconds:.0f} s",
            flush=True,
        )
    if arguments.only is None:
        save("broken_files", rows)
    print(f"{total:,} files, {len(harms)} of them harmful")
    for harm in harms:
        print(harm)
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
