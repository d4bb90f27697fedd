"""Weights and their levels: for each layer a small histogram in steps, with a line for each level.

Where the weights before quantization are known, bars show them, a line shows the levels that the
quantizer has; else a bar shows how many weights have each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from qdeploy.build_records import WeightsOfLayer, WeightsRecord
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 120, 8, 8, 20, 20
MOST_BARS = 72
# Of levels more than these, some have their number.
MOST_LABELS = 9
# What a page says above the plots.
LEVELS_TEXT = "How many weights of each layer have each level; above, its share."
HISTOGRAM_TEXT = (
    "Bars are the weights as trained, before quantization, in steps of the layer's scale; lines "
    "are the levels they are rounded to. Weights further out are in the outermost bars. Above, the "
    "share of the weights that each level has."
)


@dataclass(frozen=True)
class Histogram:
    """One plot.

    Args:
        svg: the element; its style is that of the page.
        note: in words: bits, levels, zeros.
    """

    title: str
    svg: str
    note: str


def weights_of_graph(graph: IntegerGraph) -> WeightsRecord:
    """The record as far as the integers have it: how many weights have each level."""
    layers = []
    for node in graph.nodes:
        if isinstance(node, Conv | Dense) and node.weights.size:
            lo, hi = int(node.weights.min()), int(node.weights.max())
            if hi - lo >= 1 << 16:
                continue  # nobody sees that many levels
            counts = np.bincount((node.weights - lo).ravel(), minlength=hi - lo + 1)
            bits = max(hi.bit_length(), (-lo - 1).bit_length() if lo < 0 else 0) + (lo < 0)
            layers.append(
                WeightsOfLayer(
                    layer=node.layer,
                    bits=bits,
                    lo=lo,
                    counts=counts.tolist(),
                    histogram=[],
                    per_step=1,
                )
            )
    return WeightsRecord(layers=layers)


def histograms_of(record: WeightsRecord) -> list[Histogram]:
    """The plots, one for each layer."""
    return [_histogram(one) for one in record["layers"] if sum(one["counts"])]


def _histogram(one: WeightsOfLayer) -> Histogram:
    counts, lo = one["counts"], one["lo"]
    whole, levels = sum(counts), sum(1 for count in counts if count)
    zeros = counts[-lo] if 0 <= -lo < len(counts) else 0
    note = f"{whole:,} weights, {one['bits']} bits, {levels} levels, {zeros / whole:.0%} zeros"
    span = len(counts)
    # From half a step below the first level to half a step above the last.
    shown = bool(one["histogram"]) and len(one["histogram"]) == span * one["per_step"]
    bars = _merged(one["histogram"] if shown else counts)
    most = max(bars) or 1
    inner, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    wide = inner / len(bars)
    gap = 0.12 * wide
    parts = [
        f'<rect class="column" x="{LEFT + at * wide + gap / 2:.2f}" '
        f'y="{HEIGHT - BOTTOM - high * bar / most:.2f}" width="{wide - gap:.2f}" '
        f'height="{high * bar / most:.2f}"/>'
        for at, bar in enumerate(bars)
        if bar
    ]
    every = -(-span // MOST_LABELS)
    for at in range(span):
        x = LEFT + (at + 0.5) * inner / span
        if span <= MOST_BARS and shown and counts[at]:
            parts.append(f'<path class="level" d="M{x:.1f} {TOP - 4}V{HEIGHT - BOTTOM}"/>')
        if (lo + at) % every == 0:
            parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 6}">{lo + at}</text>')
            if span <= MOST_LABELS:
                share = f"{counts[at] / whole:.0%}"
                parts.append(f'<text class="tick" x="{x:.1f}" y="11">{share}</text>')
    told = f"Weights of {one['layer']}: {note}." + (
        " Share of each level: "
        + ", ".join(f"{lo + at}: {count / whole:.1%}" for at, count in enumerate(counts))
        + "."
        if span <= MOST_LABELS
        else ""
    )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" '
        f'aria-label="{escape(told)}">\n' + "\n".join(parts) + "\n</svg>"
    )
    return Histogram(one["layer"], svg, note)


def _merged(bins: Sequence[int]) -> list[int]:
    """At most `MOST_BARS` bins, each of as many of the given ones."""
    of_each = -(-len(bins) // MOST_BARS)
    return [sum(bins[at : at + of_each]) for at in range(0, len(bins), of_each)]
