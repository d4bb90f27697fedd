"""Depth-first evaluation: several layers row by row, of whose maps only the last rows are held.

A stream is a sequence of steps. In each round the last of them gives `band` rows more, and all
others as many as those after them need for it, each row once. A map that is read within the stream
alone lies in a ring: row y where y modulo its number of rows does. In the last round all rows that
there are come, read or not, so that every boundary is whole.

With a window of h rows, stride d and t rows of padding above, n rows of a result need
min(H, (n - 1) d - t + h) of a source of H rows, and those from n d - t on are read again later. So
the rows of a ring follow from the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qdeploy.codegen.c.elements import Stored
from qdeploy.codegen.c.steps import Step
from qdeploy.ir.integer_graph import Conv, MaxPool


@dataclass(frozen=True)
class Stream:
    """Steps that run row by row.

    Args:
        first, last: both counted.
        band: rows of the last one's result in a round.
        rings: map -> rows that are held of it, of those that are not held as a whole.
    """

    first: int
    last: int
    band: int
    rings: Mapping[str, int]


@dataclass(frozen=True)
class Reading:
    """What a step reads of a source: for row r of its result rows r·stride - top … + extent - 1."""

    source: Stored
    stride: int = 1
    top: int = 0
    extent: int = 1

    def needed(self, rows: int) -> int:
        """Rows of the source that so many rows of the result need."""
        needed = (rows - 1) * self.stride - self.top + self.extent
        return max(0, min(self.source.height, needed))

    def kept(self, rows: int) -> int:
        """The first row that is read again after so many rows of the result."""
        return max(0, rows * self.stride - self.top)


@dataclass(frozen=True)
class Call:
    """Rows of a step's result that are made at once."""

    step: int
    first: int
    rows: int


def readings(step: Step) -> list[Reading]:
    """What a step that can be in a stream reads."""
    source, node = step.sources[0], step.node
    if isinstance(node, Conv):
        extent = (node.weights.shape[2] - 1) * node.dilation[0] + 1
        found = [Reading(source, node.stride[0], node.pads[0], extent)]
    else:
        assert isinstance(node, MaxPool)
        found = [Reading(source, node.stride[0], node.pads[0], node.kernel[0])]
    return [*found, *(Reading(other) for other in step.sources[1:])]


def is_streamable(step: Step) -> bool:
    """Whether a step can give some rows of its result."""
    return isinstance(step.node, Conv | MaxPool)


def rounds_of(steps: Sequence[Step], first: int, last: int, band: int) -> list[dict[int, int]]:
    """Step -> rows that are there after each round."""
    height, found, row = steps[last].result.height, [], 0
    while row < height:
        row = min(row + band, height)
        if row == height:
            found.append({number: steps[number].result.height for number in range(first, last + 1)})
            break
        rows = {last: row}
        for number in range(last - 1, first - 1, -1):
            name = steps[number].result.name
            rows[number] = max(
                (
                    reading.needed(rows[user])
                    for user in range(number + 1, last + 1)
                    for reading in readings(steps[user])
                    if reading.source.name == name
                ),
                default=0,
            )
        found.append(rows)
    return found


def stream_of(steps: Sequence[Step], first: int, last: int, band: int, output: str) -> Stream:
    """The stream of some steps, its rings as small as the rounds allow.

    Args:
        output: of the graph, which is held as a whole.
    """
    rounds, rings = rounds_of(steps, first, last, band), {}
    for number in range(first, last):
        made = steps[number].result
        users = [n for n, s in enumerate(steps) if any(one.name == made.name for one in s.sources)]
        row_bits = made.width * made.channels * made.element.bits
        if made.name == output or not users or max(users) > last or row_bits % 8:
            continue
        most, before = 1, dict.fromkeys(range(first, last + 1), 0)
        for rows in rounds:
            kept = min(
                reading.kept(before[user])
                for user in users
                for reading in readings(steps[user])
                if reading.source.name == made.name
            )
            most = max(most, rows[number] - kept)
            before = rows
        if most < made.height:
            rings[made.name] = most
    return Stream(first, last, band, rings)


def calls_of(steps: Sequence[Step], stream: Stream) -> Iterator[Call]:
    """What is called in order; no call goes beyond the end of a ring."""
    made = dict.fromkeys(range(stream.first, stream.last + 1), 0)
    for rows in rounds_of(steps, stream.first, stream.last, stream.band):
        for number, until in sorted(rows.items()):
            while made[number] < until:
                count = min(until - made[number], most_rows(steps[number]))
                for ring in rings_written(steps[number], stream):
                    count = min(count, ring - made[number] % ring)
                yield Call(number, made[number], count)
                made[number] += count


def most_rows(step: Step) -> int:
    """Rows of a step that are made at once where no ring ends."""
    return step.result.height if step.staging is None else step.staging.band


def rings_written(step: Step, stream: Stream) -> list[int]:
    """Rows of the rings that rows of a step's result and of what is added to it lie in."""
    names = [step.result.name, *(one.name for one in step.sources[1:])]
    return [stream.rings[name] for name in names if name in stream.rings]
