"""What a netlist's longest path may take once it is routed, by what routing did to blocks of ours.

    period = offset + longest path with `net_ns` for every routed net

`hw/costs/routed.json` has both numbers, fitted by `bench/static_timing.py` to blocks of `hw/rtl`
that nextpnr placed and routed for an ECP5, and how far off they were there. Nothing measured says
how long the nets of another part are: the figure ranks paths, it does not promise a clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from qdeploy.errors import InternalError
from qdeploy.resources import resource

TABLE = "hw/costs/routed.json"


@dataclass(frozen=True)
class RoutedDelay:
    """The fit.

    Args:
        net_ns: what a routed net takes.
        offset_ns: what a path takes besides, a flip-flop's clock-to-out included where the
            library of the part that was fitted has none.
        spread: standard deviation of estimated over reached periods, relative.
        blocks: how many it was fitted to.
        part: of which family they were.
    """

    net_ns: float
    offset_ns: float
    spread: float
    blocks: int
    part: str

    @property
    def source(self) -> str:
        """Where the figures come from, in words."""
        return (
            f"{self.net_ns:g} ns per routed net, as fitted to {self.blocks} blocks placed and "
            f"routed for {self.part} (standard deviation of periods {self.spread:.0%})"
        )


@cache
def routed_delay() -> RoutedDelay:
    """The fit in `hw/costs/routed.json`.

    Raises:
        InternalError: the file does not read.
    """
    try:
        data = json.loads(resource(TABLE).read_text(encoding="utf-8"))
        return RoutedDelay(
            float(data["net_ns"]),
            float(data["offset_ns"]),
            float(data["spread"]),
            int(data["blocks"]),
            str(data["part"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InternalError(
            f"`{TABLE}` does not read", why=f"{type(error).__name__}: {error}", do="install again"
        ) from error
