"""Memory files of a design, read back as the numbers in them.

A file has one word a line in hexadecimal, as $readmemh takes it; a word has several numbers, the
first in its least significant bits. Read strictly: as many words as the memory has, none wider.
"""

from __future__ import annotations

import re

import numpy as np

from qdeploy.design.packing import MAX_BITS, unpack
from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.memories.ledger import Place, UnreadableError

MOST_BYTES = 1 << 28
_LINES = re.compile(r"(?:[0-9a-f]+\n)*")


def read_words(place: Place, name: object, count: int, width: int) -> list[str]:
    """Lines of a memory of `count` words of `width` bits; the file is noted as used.

    Raises:
        UnreadableError: there is no such file, it has other words, or one that is wider.
    """
    path = place.ledger.folder / str(name)
    place.ledger.used[str(name)] += 1
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableError(f"memory file `{name}` has more than {MOST_BYTES:,} bytes")
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"memory file `{name}` cannot be read: {error}") from error
    if not text.endswith("\n"):
        text += "\n"
    if not _LINES.fullmatch(text):
        raise UnreadableError(f"memory file `{name}` has lines that are no hexadecimal words")
    lines = text.split()
    if len(lines) != count:
        raise UnreadableError(f"memory file `{name}` has {len(lines)} words, the memory {count}")
    digits, first = (width + 3) // 4, 1 << (width % 4 or 4)
    for number, line in enumerate(lines):
        if len(line) > digits or (len(line) == digits and int(line[0], 16) >= first):
            raise UnreadableError(f"memory file `{name}`, word {number} is wider than {width} bits")
    place.ledger.counted["words"] += count
    return lines


def numbers(lines: list[str], bits: int, per_word: int, *, signed: bool) -> IntArray:
    """(words, per_word) numbers of `bits` bits each.

    Raises:
        UnreadableError: numbers of more than 63 bits.
    """
    if bits > MAX_BITS:
        return _wide(lines, bits, per_word, signed=signed)
    width = (bits * per_word + 7) // 8
    data = bytes.fromhex("".join(line.zfill(2 * width) for line in lines))
    beats = np.frombuffer(data, dtype=np.uint8).reshape(len(lines), width)[:, ::-1]
    return unpack(beats, bits, per_word, signed).reshape(len(lines), per_word)


def _wide(lines: list[str], bits: int, per_word: int, *, signed: bool) -> IntArray:
    if bits > 63:
        raise UnreadableError(f"numbers of {bits} bits are beyond what sums can be")
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    found = np.empty((len(lines), per_word), dtype=np.int64)
    for row, line in enumerate(lines):
        word = int(line, 16)
        for lane in range(per_word):
            value = word >> (bits * lane) & mask
            found[row, lane] = value - (1 << bits) if signed and value >= half else value
    return found


def joined(low: list[str], high: list[str], low_bits: int) -> list[str]:
    """Words whose lower `low_bits` are in one memory and the rest in another."""
    return [
        f"{int(upper, 16) << low_bits | int(lower, 16):x}"
        for lower, upper in zip(low, high, strict=True)
    ]
