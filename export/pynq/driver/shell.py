"""Registers of the shell around the core, see rtl/qd_shell_regs.v."""

from __future__ import annotations

import struct
import time
from typing import Any

from .errors import AcceleratorError

ID, VERSION, DESIGN, FRAMES = 0x00, 0x04, 0x08, 0x0C
CONTROL, CYCLES, DONE, STATUS = 0x10, 0x14, 0x18, 0x1C
SHELL_ID = 0x51444550
SHELL_VERSION = 1
CORE_IN_RESET, ERROR = 1 << 0, 1 << 2
# Of a bitstream with weights that are loaded.
CONFIG, CONFIG_BYTE, CONFIG_CRC, CONFIG_STATE = 0x20, 0x24, 0x28, 0x2C
COMPLETE, INCOMPLETE, WRITTEN, TAKING, WAITING, LOST = (1 << bit for bit in range(6))
LAST = 1 << 8


class Shell:
    """The shell of one bitstream.

    Args:
        registers: with `read(offset)` and `write(offset, value)`.
    """

    def __init__(self, registers: Any) -> None:
        self._registers = registers

    def check(self, design_id: str) -> None:
        """Compare the bitstream with the package.

        Raises:
            AcceleratorError: it is no qdeploy shell, of another version, or of another design.
        """
        found = self._read(ID)
        if found != SHELL_ID:
            raise AcceleratorError(f"there is no qdeploy shell in this bitstream (id {found:#x})")
        version = self._read(VERSION)
        if version != SHELL_VERSION:
            raise AcceleratorError(
                f"the bitstream's shell has version {version}, this driver knows {SHELL_VERSION};"
                " use the driver that came with the package"
            )
        design = self._read(DESIGN)
        if design != int(design_id, 16):
            raise AcceleratorError(
                f"the bitstream was built from another design ({design:08x}) than this package"
                f" ({design_id}): another network, or other weights; build it again with"
                " `make bitstream`"
            )

    def begin(self, frames: int) -> None:
        """A new batch of so many frames."""
        self._registers.write(FRAMES, frames)

    def cycles(self) -> int:
        """Clock cycles from the batch's first input beat to its last output beat."""
        return self._read(CYCLES)

    def done(self) -> int:
        """Frames of the batch that have left."""
        return self._read(DONE)

    def status(self) -> int:
        """STATUS as it is."""
        return self._read(STATUS)

    def reset(self, timeout_s: float) -> None:
        """Reset the core and forget the batch.

        Raises:
            AcceleratorError: the core stays in reset.
        """
        self._registers.write(CONTROL, 1)
        deadline = time.monotonic() + timeout_s
        while self._read(STATUS) & CORE_IN_RESET:
            if time.monotonic() > deadline:
                raise AcceleratorError("the core does not leave reset; is its clock running?")

    def load(self, image: bytes, timeout_s: float) -> int:
        """Write an image of weights while no frame is under way; its checksum, read back.

        Raises:
            AcceleratorError: the core does not take it, or takes it for one of another length.
        """
        # The core opens for the first byte; the others go as fast as they are written.
        self._registers.write(CONFIG_BYTE, image[0] | (LAST if len(image) == 1 else 0))
        self._until_taken(WAITING, timeout_s)
        rest = image[1:]
        words = max(0, (len(rest) - 1) // 4)
        for value in struct.unpack(f"<{words}I", rest[: 4 * words]):
            self._registers.write(CONFIG, value)
        tail = rest[4 * words :]
        for index, value in enumerate(tail):
            self._registers.write(CONFIG_BYTE, value | (LAST if index == len(tail) - 1 else 0))
        self._until_taken(WAITING | TAKING, timeout_s)
        state = self._read(CONFIG_STATE)
        if not state & COMPLETE or state & (INCOMPLETE | LOST):
            raise AcceleratorError(f"the core took other bytes than were written, state {state:#x}")
        return self._read(CONFIG_CRC)

    def written(self) -> int | None:
        """Checksum of the weights that were loaded since the bitstream was, -1 of an image that was
        cut off; None where there were none."""
        state = self._read(CONFIG_STATE)
        if not state & WRITTEN:
            return None
        return self._read(CONFIG_CRC) if state & COMPLETE else -1

    def _until_taken(self, bits: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._read(CONFIG_STATE) & bits:
            if time.monotonic() > deadline:
                state = self._read(CONFIG_STATE)
                raise AcceleratorError(f"the core does not take weights, state {state:#x}")

    def _read(self, offset: int) -> int:
        return int(self._registers.read(offset))
