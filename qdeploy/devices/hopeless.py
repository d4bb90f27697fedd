"""Networks whose weights alone are more than a part can store, told before hours of work."""

from __future__ import annotations

from qdeploy.devices.boards import Available, Board, list_boards, load_board
from qdeploy.errors import DoesNotFitError

# Bits of a LUT's own table, of a BRAM36 and of a URAM.
_LUT, _BRAM36, _URAM = 64, 36 * 1024, 288 * 1024


def storage_bits(part: Available) -> int:
    """The most that a part can store, in all its tables and memories together."""
    return int(part.lut * _LUT + part.bram36 * _BRAM36 + part.uram * _URAM)


def check_weights(bits: int, board: Board, where: str) -> None:
    """Refuse weights that are hopeless on a board, whatever the folding.

    Args:
        bits: of the weights, at least.
        where: the network, in the message.

    Raises:
        DoesNotFitError: it names the boards that could store them, if there are any.
    """
    most = storage_bits(board.resources)
    if bits <= most:
        return
    known = {name: storage_bits(load_board(name).resources) for name in list_boards()}
    larger = sorted((name for name, size in known.items() if size >= bits), key=known.__getitem__)
    mega = f"{bits / 1e6:,.0f} Mbit"
    if larger:
        do = f"take a larger board: `--board {larger[0]}`; or fewer or narrower weights"
    else:
        largest = max(known, key=known.__getitem__)
        do = (
            f"train a network with fewer or narrower weights: the largest board, {largest},"
            f" stores {known[largest] / 1e6:,.0f} Mbit"
        )
    raise DoesNotFitError(
        f"the weights do not fit {board.name}, whatever the folding",
        where=where,
        why=f"those other than zero take {mega}, and all LUTs and memories of {board.part} together"
        f" store {most / 1e6:,.0f} Mbit",
        do=do,
    )
