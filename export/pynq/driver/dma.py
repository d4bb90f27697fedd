"""The AXI DMA's registers, in Direct Register Mode (PG021, "Register Space").

    channel  MM2S at 0x00, memory to stream; S2MM at 0x30, stream to memory
    +0x00    DMACR   bit 0 RS, bit 2 Reset
    +0x04    DMASR   bit 0 Halted, bit 1 Idle, bit 3 SGIncld, bits 4-6 and 8-10 errors
    +0x18    address, +0x1C its upper half, +0x28 LENGTH: writing it starts a transfer

RS = 0 halts a channel only when its transfer is complete, which a stuck one never is, so nothing
here waits for that. What ends a transfer is Reset, of either channel for the whole engine, and it
clears itself; pynq's own class does not use it and polls without a time-out. An error halts a
channel and stays until the reset.
"""

from __future__ import annotations

import time
from typing import Any

from .errors import AcceleratorError

MM2S, S2MM = 0x00, 0x30
CONTROL, STATUS, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, SCATTER_GATHER = 1 << 0, 1 << 1, 1 << 3
# Bit of DMASR -> its name in PG021, and what it means here.
ERRORS = {
    4: ("DMAIntErr", "internal error"),
    5: ("DMASlvErr", "memory answered an access with an error"),
    6: ("DMADecErr", "no memory answers at the buffer's address"),
    8: ("SGIntErr", "internal error of the scatter-gather engine"),
    9: ("SGSlvErr", "memory answered the scatter-gather engine with an error"),
    10: ("SGDecErr", "no memory answers at a descriptor's address"),
}
INTERNAL = {
    "MM2S": "the length of the transfer was 0",
    "S2MM": "more came than the buffer holds (the last frame's end did not come), or a write to"
    " memory failed",
}
ADDRESS_BITS = 32


class Channel:
    """One channel.

    Args:
        registers: with `read(offset)` and `write(offset, value)`.
        base: `MM2S` or `S2MM`.
    """

    def __init__(self, registers: Any, base: int) -> None:
        self._registers, self._base = registers, base
        self.name = "MM2S" if base == MM2S else "S2MM"

    def start(self, address: int, size: int) -> None:
        """Start a transfer of `size` bytes at a physical address."""
        self._write(ADDRESS, address & 0xFFFFFFFF)
        self._write(ADDRESS_HIGH, address >> 32)
        self._write(LENGTH, size)

    def status(self) -> int:
        """DMASR.

        Raises:
            AcceleratorError: the channel has stopped with an error; names each.
        """
        found = self._read(STATUS)
        wrong = [
            f"{name} ({INTERNAL[self.name] if name == 'DMAIntErr' else meaning})"
            for bit, (name, meaning) in ERRORS.items()
            if found >> bit & 1
        ]
        if wrong:
            side = "input to the core" if self._base == MM2S else "results from the core"
            raise AcceleratorError(
                f"the DMA's channel {self.name} ({side}) stopped: {', '.join(wrong)};"
                f" DMASR {found:#x}"
            )
        if found & HALTED:
            raise AcceleratorError(f"the DMA's channel {self.name} is halted; DMASR {found:#x}")
        return found

    def idle(self) -> bool:
        """Whether the transfer is complete; raises as `status`."""
        return bool(self.status() & IDLE)

    def moved(self) -> int:
        """Bytes that a complete transfer of S2MM wrote to memory."""
        return self._read(LENGTH)

    def run(self, deadline: float) -> None:
        """Set RS and wait until the channel is no longer halted.

        Raises:
            AcceleratorError: it is halted at the deadline (of `time.monotonic`).
        """
        self._write(CONTROL, RUN)
        while self._read(STATUS) & HALTED:
            if time.monotonic() > deadline:
                raise AcceleratorError(f"the DMA's channel {self.name} does not start")

    def _read(self, offset: int) -> int:
        return int(self._registers.read(self._base + offset))

    def _write(self, offset: int, value: int) -> None:
        self._registers.write(self._base + offset, value)


class Dma:
    """Both channels.

    Attributes:
        send: MM2S.
        receive: S2MM.
    """

    def __init__(self, registers: Any) -> None:
        self._registers = registers
        self.send, self.receive = Channel(registers, MM2S), Channel(registers, S2MM)

    def reset(self, timeout_s: float) -> None:
        """End whatever is under way and clear all errors; both channels stay halted.

        Raises:
            AcceleratorError: the reset does not end.
        """
        self._registers.write(MM2S + CONTROL, RESET)
        deadline = time.monotonic() + timeout_s
        for base in (MM2S, S2MM):
            while self._registers.read(base + CONTROL) & RESET:
                if time.monotonic() > deadline:
                    raise AcceleratorError(
                        f"the DMA's reset does not end within {timeout_s:g} s: its memory or its"
                        " clock does not answer; load the bitstream again with a new Accelerator()"
                    )

    def run(self, timeout_s: float) -> None:
        """Make both channels ready for transfers; after a reset."""
        deadline = time.monotonic() + timeout_s
        self.receive.run(deadline)
        self.send.run(deadline)

    def has_scatter_gather(self) -> bool:
        """Whether it was built for descriptors, and so not for this driver."""
        return bool(self._registers.read(MM2S + STATUS) & SCATTER_GATHER)
