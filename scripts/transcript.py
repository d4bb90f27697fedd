"""Put the output of a real `make demo` into the README.

    rm -rf runs/digits_fcdnn_w2a2 && make demo 2>&1 | tee demo.log
    python scripts/transcript.py demo.log

Of the training epochs only the first and the last line are kept, with `…` between them; lines of
how far a step is are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- transcript: begin -->", "<!-- transcript: end -->"
# Written now and then to where nobody looks at a bar: how far a step is.
_PROGRESS = re.compile(r"^[\w ]+: [\d,]+ of [\d,]+ \w+, .* left( |$)")
_EPOCH = re.compile(r"^\w+ \d+/\d+: loss ")
_NEEDED = ("==> set-up is complete", "==> qdeploy train", "==> qdeploy export", "Build folder:")


def shortened(log: str) -> str:
    """The log from the end of the set-up, without most of the epochs.

    Raises:
        SystemExit: a part of the demo is missing from the log.
    """
    lines = [line.rstrip() for line in log.rstrip().splitlines()]
    lines = [line for line in lines if not _PROGRESS.match(line)]
    absent = [part for part in _NEEDED if not any(line.startswith(part) for line in lines)]
    if absent:
        raise SystemExit(f"this is no complete log of `make demo`: no line starts with {absent}")
    lines = lines[next(i for i, line in enumerate(lines) if line.startswith(_NEEDED[0])) :]
    epochs = [i for i, line in enumerate(lines) if _EPOCH.match(line)]
    if len(epochs) > 2:
        lines[epochs[0] + 1 : epochs[-1]] = ["…"]
    return "\n".join(["$ make demo", *lines])


def main() -> None:
    """Rewrite the README's transcript."""
    block = shortened(Path(sys.argv[1]).read_text(encoding="utf-8"))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE.name} has no marks `{BEGIN}` and `{END}`")
    PAGE.write_text(f"{before}{BEGIN}\n```\n{block}\n```\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
