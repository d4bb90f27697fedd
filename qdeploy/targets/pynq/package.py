"""Target `pynq`: a folder that becomes a bitstream on a PC and an accelerator on the board.

rtl/        the verified design, unchanged, and the shell around it
vivado/     project script and settings; `make bitstream`
open/       synthesis for openXC7, where the part is of the 7 series; `make bitstream-open`
driver/     Python driver with a copy of the packing code
golden/     raw frames, the same packed, and the integers that must come out
input.npz   from what the driver takes to input codes: thresholds of real numbers, table of raw ones
bare_metal/ the driver in C without an operating system, with golden frames and a self-test
bundle.json everything the driver needs to know, with the hash of every file and of itself
"""

from __future__ import annotations

import shutil
import string
from collections.abc import Sequence
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy import npz, provenance, self_digest
from qdeploy.artifacts import atomic_folder, sha256, write_json, write_text
from qdeploy.build_folder import PACKAGE_FOLDER, RTL_FOLDER
from qdeploy.design import packing
from qdeploy.design.digests import design_id
from qdeploy.design.manifest import Design, Stream
from qdeploy.devices.boards import Board
from qdeploy.errors import InternalError
from qdeploy.ir import head, input_codes, input_tables
from qdeploy.ir.head import Head
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.ir.layout import to_stream_order
from qdeploy.resources import resource
from qdeploy.self_digest import with_digest
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.pynq import bare_metal
from qdeploy.targets.pynq.bare_metal import Golden, write_bare_metal
from qdeploy.targets.pynq.open_flow import write_open_flow
from qdeploy.targets.pynq.shell import (
    REGISTERS,
    SHELL,
    dma_bytes,
    registers_verilog,
    shell_verilog,
)
from qdeploy.targets.records import (
    class_count,
    head_record,
    output_kind,
    own_image,
    stream_record,
    weights_record,
)
from qdeploy.targets.tcl import tcl_word
from qdeploy.version import __version__

BUNDLE_FORMAT = 1
BUNDLE_FILE = "bundle.json"
BITFILE = "bitstream/accelerator.bit"
_DMA_LENGTH = (1 << 26) - 1
_STATIC = ("Makefile", "accelerator.ipynb", "vivado/build.tcl")
_DRIVER = (
    "__init__.py",
    "__main__.py",
    "accelerator.py",
    "bitfile.py",
    "board.py",
    "buffers.py",
    "bundle.py",
    "contents.py",
    "device_lock.py",
    "dma.py",
    "errors.py",
    "golden.py",
    "layout.py",
    "native.c",
    "native.h",
    "native.py",
    "pipeline.py",
    "preparation.py",
    "rates.py",
    "selftest.py",
    "shell.py",
    "weights.py",
    "worker.py",
)


def make_package(
    folder: Path,
    design: Design,
    board: Board,
    golden_inputs: npt.NDArray[np.integer],
    golden_outputs: npt.NDArray[np.int64],
    *,
    preparation: InputPreparation | None = None,
    meaning: Head | None = None,
    classes: Sequence[str] = (),
    input_bits: int | None = None,
    cycles_per_frame: int | None = None,
) -> Path:
    """Write `package` into a build folder, replacing an older one as a whole.

    Args:
        folder: the build folder, with the design in `rtl`.
        golden_inputs: raw values (N, *shape of the preparation), integers.
        golden_outputs: integers that must come out, (N, elements of the output) or (N,), for a
            map (N, channels, H', W').
        preparation: from frames to codes; when None every code of the stream is legal, and its
            step unknown.
        meaning: what the output's integers mean; the design's one scale when None.
        classes: names of the classes; numbers when empty.
        input_bits: input code = raw value >> (8 - input_bits); those of the stream when None.
        cycles_per_frame: measured cycles between frames, the design's expectation when None.

    Returns:
        The package folder.

    Raises:
        FoldingError: when a stream is wider than a DMA can be.
        UserError: when the design folder lacks a file.
        InternalError: when golden frames and design do not belong together.
    """
    source = PackageInput.of(design, golden_inputs.shape[1:], preparation, input_bits)
    golden_outputs = to_stream_order(golden_outputs, frames=True).reshape(len(golden_inputs), -1)
    _check(design, golden_inputs, golden_outputs, source)
    identity = design_id(folder / RTL_FOLDER, design)
    with atomic_folder(folder / PACKAGE_FOLDER) as root:
        _copy_rtl(folder / RTL_FOLDER, design, root / "rtl", identity)
        _copy_static(root)
        write_text(root / "vivado/config.tcl", _config(design, board))
        write_open_flow(root / "open", design, board)
        golden = Golden(
            golden_inputs,
            source.packed(design.input, golden_inputs, dma_bytes(design.input)),
            golden_outputs.astype(np.int64),
        )
        _write_golden(root / "golden", golden)
        cycles = cycles_per_frame or design.cycles_per_frame
        write_bare_metal(
            root / bare_metal.FOLDER,
            design,
            board,
            identity,
            source,
            golden,
            cycles,
            own_image(folder / RTL_FOLDER, design),
        )
        source.write(root)
        bundle: dict[str, Any] = {
            "format": BUNDLE_FORMAT,
            "name": design.name,
            "board": board.name,
            "part": board.part,
            "clock_mhz": design.clock_mhz,
            "bitfile": BITFILE,
            "design_id": identity,
            "input": {
                **_stream(design.input),
                "order": "row-major (H, W, C)",
                **source.record(),
            },
            "output": {
                **_stream(design.output),
                "kind": output_kind(design, classes),
                **head_record(meaning or Head((Fraction(design.logit_scale or 1),))),
            },
            "classes": list(classes) or [str(k) for k in range(class_count(design))],
            "cycles_per_frame": cycles,
            "golden_frames": len(golden_inputs),
            **weights_record(folder / RTL_FOLDER, design),
            "provenance": provenance.record(),
        }
        write_text(root / "README.md", _readme(bundle, source, board))
        bundle["files"] = {
            path.relative_to(root).as_posix(): sha256(path)
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        write_json(root / BUNDLE_FILE, with_digest(bundle))
    return folder / PACKAGE_FOLDER


def _check(
    design: Design,
    inputs: npt.NDArray[np.integer],
    outputs: npt.NDArray[np.int64],
    source: PackageInput,
) -> None:
    """The golden frames fit the design's streams."""
    problems = []
    if not len(inputs):
        problems.append("no golden frames")
    elif not np.issubdtype(inputs.dtype, np.integer):
        problems.append(f"raw inputs are {inputs.dtype}, not integers")
    elif prod(inputs.shape[1:]) != design.input.elements:
        problems.append(f"frames {inputs.shape[1:]} do not fill the stream {design.input.shape}")
    elif inputs.shape[1:] != source.preparation.shape:
        problems.append(f"frames {inputs.shape[1:]} are not {source.preparation.shape}")
    elif int(inputs.min()) < source.raw_range[0] or int(inputs.max()) > source.raw_range[1]:
        problems.append(f"inputs are not from {source.raw_range[0]} to {source.raw_range[1]}")
    if outputs.shape != (len(inputs), design.output.elements):
        problems.append(f"outputs {outputs.shape} for {len(inputs)} frames")
    if problems:
        raise InternalError(
            "golden frames and design do not belong together", why="; ".join(problems)
        )


def _copy_rtl(source: Path, design: Design, target: Path, identity: str) -> None:
    for name in [*design.sources, *design.memories, "design.json"]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    write_text(target / SHELL, shell_verilog(design, identity))
    write_text(target / REGISTERS, registers_verilog(design))


def _copy_static(root: Path) -> None:
    for name in _STATIC:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(resource(f"export/pynq/{name}"), root / name)
    copy_driver(root / "driver")


def copy_driver(driver: Path) -> None:
    """Write the Python driver into a folder that does not exist."""
    driver.mkdir()
    for name in _DRIVER:
        shutil.copyfile(resource(f"export/pynq/driver/{name}"), driver / name)
    # One packing, one meaning of the integers and one digest for the PC and the board: the driver
    # gets copies of the files themselves.
    for module in (packing, head, input_codes, input_tables, npz, self_digest):
        shutil.copyfile(str(module.__file__), driver / Path(str(module.__file__)).name)


def _config(design: Design, board: Board) -> str:
    """Settings of `vivado/build.tcl`."""

    def listed(names: Sequence[str]) -> str:
        return "".join(f" \\\n    {tcl_word(f'rtl/{name}')}" for name in names)

    def listed_words(words: Sequence[str]) -> str:
        return "".join(f" {tcl_word(word)}" for word in words)

    return "\n".join(
        [
            "# Settings of build.tcl for this design and board.",
            f"set qd_name {tcl_word(design.name)}",
            f"set qd_part {tcl_word(board.part)}",
            f"set qd_board_part {tcl_word(board.board_part or '')}",
            f"set qd_carrier [list{listed_words(board.carrier or ())}]",
            f"set qd_board_files {tcl_word(board.board_files)}",
            f"set qd_ps {tcl_word(board.ps)}",
            f"set qd_clock_mhz {design.clock_mhz:g}",
            f"set qd_in_bits {8 * dma_bytes(design.input)}",
            f"set qd_out_bits {8 * dma_bytes(design.output)}",
            f"set qd_ddr_bits {board.dma_bits}",
            *(
                f"set qd_{name}_base 0x{address:08X}"
                for name, address in zip(
                    ("dma", "shell"), bare_metal.ADDRESSES[board.ps], strict=True
                )
            ),
            f"set qd_sources [list{listed([*design.sources, REGISTERS, SHELL])}]",
            f"set qd_memories [list{listed(design.memories)}]",
            "",
        ]
    )


def _write_golden(folder: Path, golden: Golden) -> None:
    """`golden.npz`: inputs (raw), packed (N, bytes per frame), outputs (N, elements) in the
    order of the stream."""
    folder.mkdir()
    np.savez_compressed(
        folder / "golden.npz", inputs=golden.raw, packed=golden.packed, outputs=golden.outputs
    )


def _stream(stream: Stream) -> dict[str, Any]:
    return {**stream_record(stream), "dma_bytes_per_beat": dma_bytes(stream)}


def _readme(bundle: dict[str, Any], given: PackageInput, board: Board) -> str:
    source, sink = bundle["input"], bundle["output"]
    shape = ", ".join(str(size) for size in source["data_shape"])
    frame = max(stream["beats"] * stream["dma_bytes_per_beat"] for stream in (source, sink))
    many = f"{len(bundle['classes'])} classes"
    if len(sink["stream_shape"]) == 3:
        height, width, _ = sink["stream_shape"]
        many += f", for each of {height} x {width} pixels"
    template = string.Template(resource("export/pynq/README.md.in").read_text(encoding="utf-8"))
    return template.substitute(
        name=bundle["name"],
        folder=bundle["name"],
        version=__version__,
        board_title=board.title,
        part=board.part,
        life_cycle=board.life_cycle.state,
        life_note=board.life_cycle.note,
        pynq=board.pynq,
        vivado=board.vivado,
        board_files=board.board_files,
        input_text=given.takes,
        input_meaning=given.meaning,
        output_text=f"one of {many}" if sink["kind"] == "class" else f"a logit for each of {many}",
        cycles=f"{bundle['cycles_per_frame']:,}",
        fps=f"{bundle['clock_mhz'] * 1e6 / bundle['cycles_per_frame']:,.0f}",
        clock=f"{bundle['clock_mhz']:g}",
        golden=bundle["golden_frames"],
        shape=shape,
        max_frames=f"{_DMA_LENGTH // frame:,}",
        in_bytes=source["dma_bytes_per_beat"],
        out_bytes=sink["dma_bytes_per_beat"],
    )
