"""Resources that a block, a layer or a design uses."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("lut", "ff", "bram18", "dsp", "lutram")


@dataclass(frozen=True)
class ResourceUsage:
    """Resources: slice LUTs, flip-flops, BRAM18 (half a BRAM36), DSP blocks, and those of the LUTs
    that are memory; whole numbers."""

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    dsp: int = 0
    lutram: int = 0

    def __add__(self, other: ResourceUsage) -> ResourceUsage:
        return ResourceUsage(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    def within(self, limit: ResourceUsage) -> bool:
        """Whether no kind exceeds its limit."""
        return all(getattr(self, kind) <= getattr(limit, kind) for kind in KINDS)

    def used(self) -> dict[str, float]:
        """Amounts by kind of resource, as `devices.capacity` names them."""
        return {
            "lut": self.lut,
            "lutram": self.lutram,
            "ff": self.ff,
            "bram36": self.bram18 / 2,
            "dsp": self.dsp,
        }
