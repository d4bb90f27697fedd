"""The folder `bare_metal` of a package: the driver in C, what it has to know, and golden frames.

qd_design.h   widths, sizes, addresses and the design's id as constants
qd_design.c   tables of the packing and golden frames as arrays
qd_weights.*  loads other weights, where the design takes any
the rest      the driver itself, the same in every package
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.artifacts import write_text
from qdeploy.design.loading import checksum
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.ir.input_tables import InputTables, input_tables
from qdeploy.resources import resource
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.pynq.shell import dma_bytes

FOLDER = "bare_metal"
FILES = (
    "main.c",
    "qd_accelerator.c",
    "qd_accelerator.h",
    "qd_dma.c",
    "qd_dma.h",
    "qd_port.h",
    "qd_port_vitis.c",
    "qd_selftest.c",
    "qd_selftest.h",
)
# Of a design whose weights are loaded.
LOADING = ("qd_weights.c", "qd_weights.h")
# One packing in C for PYNQ's driver and this one.
PACKING = ("native.c", "native.h")
# Bytes of all arrays of golden frames; two frames at least.
GOLDEN_BYTES = 1 << 18
# The longest cache line of the processors that run it (Cortex-A53; 32 bytes on a Cortex-A9).
CACHE_LINE = 64
# As vivado/build.tcl sets it.
LENGTH_BITS = 26
# Where vivado/build.tcl puts the registers of DMA and shell, by the processing system: within
# M_AXI_GP0 of Zynq-7000 (UG585, "Address Map") and M_AXI_HPM0_FPD of UltraScale+ (UG1085).
ADDRESSES = {
    "processing_system7": (0x5000_0000, 0x5001_0000),
    "zynq_ultra_ps_e": (0xA800_0000, 0xA801_0000),
}
_PER_LINE = 16


@dataclass(frozen=True)
class Golden:
    """Golden frames of a package.

    Args:
        raw: what the driver takes, (N, *shape of the preparation).
        packed: the DMA's beats, (N, bytes of a frame).
        outputs: what must come out, (N, elements) in the order of the stream.
    """

    raw: npt.NDArray[np.integer]
    packed: npt.NDArray[np.uint8]
    outputs: npt.NDArray[np.int64]


def write_bare_metal(
    folder: Path,
    design: Design,
    board: Board,
    identity: str,
    source: PackageInput,
    golden: Golden,
    cycles_per_frame: int,
    own_image: bytes = b"",
) -> None:
    """Write the folder, which must not exist.

    Args:
        identity: the design's id, eight hexadecimal digits.
        cycles_per_frame: clock cycles between frames.
        own_image: of the weights that the design has by itself; empty where they never change.
    """
    folder.mkdir()
    for name in (*FILES, *(LOADING if own_image else ())):
        shutil.copyfile(resource(f"export/pynq/bare_metal/{name}"), folder / name)
    for name in PACKING:
        shutil.copyfile(resource(f"export/pynq/driver/{name}"), folder / name)
    tables = _tables(design, source)
    size = golden.raw[0].size + golden.packed[0].size + 8 * golden.outputs[0].size
    count = min(len(golden.raw), max(2, GOLDEN_BYTES // size))
    header = _header(
        design, board, identity, source, tables is not None, count, cycles_per_frame, own_image
    )
    write_text(folder / "qd_design.h", header)
    write_text(folder / "qd_design.c", _arrays(design, tables, golden, count))


def _tables(design: Design, source: PackageInput) -> InputTables | None:
    """What the packing in C needs; None where it cannot do it."""
    found = source.preparation
    limits = (found.lo, found.hi)
    try:
        return input_tables(
            found, design.input.bits, source.shift, limits, [int(v) for v in source.raw_range]
        )
    except ValueError:
        return None


def _header(
    design: Design,
    board: Board,
    identity: str,
    source: PackageInput,
    packs: bool,
    golden: int,
    cycles: int,
    own_image: bytes,
) -> str:
    given, result = design.input, design.output
    in_beat, out_beat = dma_bytes(given), dma_bytes(result)
    dma, shell = ADDRESSES[board.ps]
    low, high = source.raw_range
    narrow = low >= 0 and high <= 255
    constants: list[tuple[str, str, str]] = [
        ("QD_DESIGN_ID", f"0x{identity}u", "what the shell of this design's bitstream says"),
        ("QD_DMA_BASE", f"0x{dma:08X}u", "registers of the DMA, as vivado/build.tcl places them"),
        ("QD_SHELL_BASE", f"0x{shell:08X}u", "registers of the shell"),
        ("QD_CLOCK_HZ", f"{round(design.clock_mhz * 1e6)}u", "of the core"),
        ("QD_CYCLES_PER_FRAME", f"{cycles}u", "of that clock"),
        ("QD_LENGTH_BITS", f"{LENGTH_BITS}u", "of the DMA's length register"),
        (
            "QD_ALIGNMENT",
            f"{max(CACHE_LINE, in_beat, out_beat, board.dma_bits // 8)}u",
            "of buffers: the DMA's width, and a cache line",
        ),
        ("QD_IN_ELEMENTS", f"{given.elements}u", "of a frame"),
        ("QD_IN_FRAME_BYTES", f"{given.beats * in_beat}u", "of a frame's beats"),
        ("QD_OUT_ELEMENTS", f"{result.elements}u", ""),
        ("QD_OUT_FRAME_BYTES", f"{result.beats * out_beat}u", ""),
        ("QD_OUT_BEAT_BYTES", f"{out_beat}u", ""),
        ("QD_OUT_PER_BEAT", f"{result.per_beat}u", "elements"),
        ("QD_OUT_BITS", f"{result.bits}u", "of an element"),
        ("QD_OUT_SIGNED", f"{int(result.signed)}", ""),
        (
            "QD_RAW_LOW",
            f"({low})",
            "smallest and largest raw value that may be packed",
        ),
        ("QD_RAW_HIGH", f"({high})", ""),
        ("QD_PACKS", f"{int(packs)}", "whether qd_pack can pack raw values of this network"),
        ("QD_GOLDEN_FRAMES", f"{golden}u", ""),
        ("QD_WEIGHTS_BYTES", f"{len(own_image)}u", "of weights that can be loaded; 0: none can"),
        ("QD_WEIGHTS_CRC", f"0x{checksum(own_image):08X}u", "of those that the bitstream has"),
    ]
    lines = [
        "/* What the driver has to know of this design. */",
        "#ifndef QD_DESIGN_H",
        "#define QD_DESIGN_H",
        "",
        "#include <stdint.h>",
        "",
        '#include "native.h"',
        "",
    ]
    for name, value, meaning in constants:
        lines += [f"#ifndef {name}"] if name.endswith("_BASE") else []
        lines += [f"#define {name} {value}" + (f" /* {meaning} */" if meaning else "")]
        lines += ["#endif"] if name.endswith("_BASE") else []
    lines += [
        "",
        "#if QD_PACKS",
        "/* Raw frames to beats: set `frames` of a copy of qd_design_input. */",
        f"typedef {'uint8_t' if narrow else 'int32_t'} qd_raw;",
        f"#define qd_pack {'qd_pack_u8' if narrow else 'qd_pack_i32'}",
        "extern const qd_input qd_design_input;",
        "extern const qd_raw qd_golden_raw[QD_GOLDEN_FRAMES * QD_IN_ELEMENTS];",
        "#endif",
        "extern const uint8_t qd_golden_packed[QD_GOLDEN_FRAMES * QD_IN_FRAME_BYTES];",
        "extern const int64_t qd_golden_outputs[QD_GOLDEN_FRAMES * QD_OUT_ELEMENTS];",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _arrays(design: Design, tables: InputTables | None, golden: Golden, count: int) -> str:
    parts = ['#include "qd_design.h"', ""]
    if tables is not None:
        parts += _packing(design, tables)
        parts += _array("const qd_raw qd_golden_raw", golden.raw[:count])
    parts += _array("const uint8_t qd_golden_packed", golden.packed[:count])
    parts += _array("const int64_t qd_golden_outputs", golden.outputs[:count])
    return "\n".join(parts)


def _packing(design: Design, tables: InputTables) -> list[str]:
    given = design.input
    parts: list[str] = []
    names = []
    for kind, name, values in (
        ("uint32_t", "order", tables.order),
        ("uint16_t", "row", tables.row),
        ("uint16_t", "table", tables.table),
    ):
        names.append("NULL" if values is None else name)
        if values is not None:
            parts += _array(f"static const {kind} {name}", values)
    return [
        *parts,
        "const qd_input qd_design_input = {",
        f"    1, QD_IN_ELEMENTS, {given.per_beat}u, {dma_bytes(given)}u,",
        f"    {given.bits}u, {tables.low}, {tables.span}u,",
        f"    {', '.join(names)},",
        "};",
        "",
    ]


def _array(declared: str, values: npt.NDArray[np.integer]) -> list[str]:
    """A definition, its values in lines."""
    flat: Sequence[int] = values.reshape(-1).tolist()
    lines = [
        "    " + ", ".join(map(str, flat[at : at + _PER_LINE])) + ","
        for at in range(0, len(flat), _PER_LINE)
    ]
    return [f"{declared}[{len(flat)}] = {{", *lines, "};", ""]
