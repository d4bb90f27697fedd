"""`python3 -m driver selftest | throughput | info` in the package folder, as root on the board."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import bundle as bundles


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when all is well, 1 when the self-test fails, 2 on an error."""
    parser = argparse.ArgumentParser(prog="python3 -m driver", description=__doc__)
    parser.add_argument("command", choices=("selftest", "throughput", "info"))
    parser.add_argument("--bitfile", help="the .bit file; the package's own by default")
    parser.add_argument("--weights", help="a file of `qdeploy weights` to load first")
    parser.add_argument("--frames", type=int, default=4096, help="frames for throughput")
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen)
    except (RuntimeError, OSError, ImportError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(chosen: argparse.Namespace) -> int:
    root = Path(__file__).resolve().parent.parent
    if chosen.command == "info":
        data = bundles.load(root)
        wrong = bundles.damaged(root, data)
        data["files"] = f"{len(data['files'])} files, damaged or missing: {wrong or 'none'}"
        print(json.dumps(data, indent=2))
        return 1 if wrong else 0
    from .accelerator import Accelerator

    with Accelerator(chosen.bitfile) as accelerator:
        if chosen.weights:
            accelerator.load_weights(chosen.weights)
        if chosen.command == "selftest":
            report = accelerator.selftest()
            print(json.dumps(report, indent=2))
            return 0 if report["passed"] else 1
        print(json.dumps(accelerator.throughput(chosen.frames), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
