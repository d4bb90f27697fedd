"""docs/methods.md from the rows of `bench/methods.py`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Methods, measured

Ways to retrain a network to low bits, each an option of the [recipe](recipes.md), compared with
plain retraining on small networks. `python bench/methods.py` makes this page and
`bench/results/methods.json`; do not edit it by hand.

Every way starts from the same float network of its seed and has as many epochs after it as plain
retraining, on all training images; the accuracy is that of the test set after the last epoch, which
nothing is chosen by. ± is the standard deviation over seeds, the difference is the mean of the
differences to plain with the same seed, with its standard error. *helps* and *hurts* stand where
all seeds differ from plain in the same direction, by twice the standard error on average; anything
else is *no difference seen*, which with few seeds is not the same as none; and of methods that do
nothing, about one in six would get a verdict from three seeds by chance. Parameters of the methods
were not tuned on this task. What helps a small network need not help another: compare on yours.

[Ensembles](training.md#ensembles) take the hardware of several networks, so they are compared with
one wider network: [measurements](../bench/RESULTS.md#ensembles).

"""

# Methods that reviews name and that have no row, because they are the same as what there is.
TAIL = """
## The same as what there is

**Re-parametrized quantizers**, α·Q(w) for weights and γ·Q(a) + β for activations. α and γ are the
steps of weights and activations (`weight_step`, `weight_scaling`, `clip_gradient`). β adds nothing
where a batch norm follows the layer and the border is padded with the code 0: with gain s and
offset b, s·Σ α·w·(γ·a + β) + b is a norm with s·α·γ and b + s·α·β·Σ w. The integers are equal,
which is tested. The head has no norm: there β would be a bias of the classes along the sums of its
rows. Files from elsewhere may have β anywhere.

**More bits for scales and biases.** They are float32 in training and in the file. Hardware does not
store them: they become integer thresholds by exact arithmetic, as wide as the sums they are
compared with, so that no further bit can change a code. Tested over all sums of a layer, where
scales and biases of 8 bits would change some.
"""


def page(data: Mapping[str, Any]) -> str:
    """The whole page."""
    networks: dict[str, list[Mapping[str, Any]]] = {}
    for row in data["rows"]:
        networks.setdefault(row["network"], []).append(row)
    parts = [section(name, rows, data["runs"]) for name, rows in networks.items()]
    return HEAD + "\n".join(parts) + TAIL


def section(name: str, rows: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> str:
    """One network."""
    lines = [f"## {name}", ""]
    for row in rows:
        if "float" in row:
            gap = statistics.mean(row["float"]) - statistics.mean(row["accuracies"])
            lines += [
                f"Float {_spread(row['float'])} %; plain retraining is {gap:.2f} points below.",
                "",
            ]
    lines += [
        "| method | in the recipe | source | epochs | accuracy, % | to plain | verdict |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        cells = [row["metric"], row["what"], row["source"], str(row["epochs"])]
        cells += [_spread(row["accuracies"])]
        if row["metric"] == row["peer"]:
            cells += ["-", "-"]
        else:
            cells += [_difference(row), verdict(differences(row))]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = max(len(row["seeds"]) for row in rows)
    commits = sorted({str(runs[row["run"]]["commit"])[:7] for row in rows})
    machines = sorted({runs[row["run"]]["machine"]["processor"] for row in rows})
    lines += [
        "",
        f"{seeds} seeds, at commit {', '.join(commits)}; {', '.join(machines)}, one thread.",
    ]
    return "\n".join(lines) + "\n"


def differences(row: Mapping[str, Any]) -> list[float]:
    """To plain retraining with the same seed, in points."""
    return [one - other for one, other in zip(row["accuracies"], row["plain"], strict=True)]


def verdict(found: Sequence[float]) -> str:
    """What differences of several seeds say."""
    mean = statistics.mean(found)
    same = all(one > 0 for one in found) or all(one < 0 for one in found)
    if len(found) < 3 or not same or abs(mean) < 2 * standard_error(found):
        return "no difference seen"
    return "helps" if mean > 0 else "hurts"


def standard_error(found: Sequence[float]) -> float:
    """Of the mean of `found`."""
    return statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.inf


def _spread(found: Sequence[float]) -> str:
    if len(found) < 2:
        return f"{found[0]:.2f}"
    return f"{statistics.mean(found):.2f} ± {statistics.stdev(found):.2f}"


def _difference(row: Mapping[str, Any]) -> str:
    found = differences(row)
    mean = statistics.mean(found)
    return f"{mean:+.2f} ± {standard_error(found):.2f}" if len(found) > 1 else f"{mean:+.2f}"
