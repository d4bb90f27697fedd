"""Which pairs of channels of a tensor, had they been swapped, would have given other codes."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray


class ChannelGroups:
    """Channels of one tensor, in groups of those that had the same codes in every frame so far.

    Args:
        channels: how many there are.
    """

    def __init__(self, channels: int) -> None:
        self.groups: IntArray = np.zeros(channels, dtype=np.int64)

    def add(self, codes: IntArray) -> None:
        """Take in codes (frames, channels, ...)."""
        sizes = np.bincount(self.groups, minlength=len(self.groups))
        alike = np.flatnonzero(sizes[self.groups] > 1)
        if not alike.size:
            return
        known: dict[tuple[int, bytes], int] = {}
        groups = self.groups.copy()
        for channel in alike.tolist():
            key = int(self.groups[channel]), np.ascontiguousarray(codes[:, channel]).tobytes()
            # A group is called after its first channel.
            groups[channel] = known.setdefault(key, channel)
        single = np.setdiff1d(np.arange(len(groups)), alike)
        groups[single] = single
        self.groups = groups

    def pairs(self) -> list[tuple[int, int]]:
        """Pairs that no frame has told apart."""
        found = []
        for group in np.unique(self.groups):
            members = np.flatnonzero(self.groups == group).tolist()
            found += [(i, j) for n, i in enumerate(members) for j in members[n + 1 :]]
        return found
