"""The shell: what is between the core and an AXI DMA.

    core beat   any number of bytes B
    DMA beat    the next power of two P >= B, at most 128 bytes (1024 bits)

Padding is wiring, done in Verilog and, on the other side, by the driver. The shell also ends a
transfer: a simple-mode DMA stops at TLAST, the core sets it with every frame, the shell lets only
the last of a batch through (register FRAMES in `export/pynq/rtl/qd_shell_regs.v`).
"""

from __future__ import annotations

import string

from qdeploy.design.library_text import library_text
from qdeploy.design.manifest import Design, Stream
from qdeploy.errors import FoldingError
from qdeploy.resources import resource

DMA_MAX_BYTES_PER_BEAT = 128
SHELL = "qd_shell.v"
REGISTERS = "qd_shell_regs.v"


def dma_bytes(stream: Stream) -> int:
    """Bytes of the DMA's beat that carries one beat of `stream`.

    Raises:
        FoldingError: when it is wider than a DMA can be.
    """
    size = 1
    while size < stream.bytes_per_beat:
        size *= 2
    if size > DMA_MAX_BYTES_PER_BEAT:
        raise FoldingError(
            f"the stream `{stream.name}` carries {stream.bytes_per_beat} bytes per beat, an AXI DMA"
            f" at most {DMA_MAX_BYTES_PER_BEAT}",
            where=f"tensor `{stream.tensor}`, {stream.per_beat} codes of {stream.bits} bits each",
            do="request a lower frame rate, or give the first layer less SIMD and the last "
            "layer less PE in the folding file",
        )
    return size


def registers_verilog(design: Design) -> str:
    """Verilog of the shell's registers."""
    text = resource(f"export/pynq/rtl/{REGISTERS}").read_text(encoding="utf-8")
    return library_text(text, loadable=design.loading is not None)


def shell_verilog(design: Design, design_id: str) -> str:
    """Verilog of the shell around `design`.

    Args:
        design_id: eight hexadecimal digits the driver reads back to know its bitstream.

    Raises:
        FoldingError: when a stream is wider than a DMA can be.
    """
    source, sink = design.input, design.output
    in_dma, out_dma = dma_bytes(source), dma_bytes(sink)
    in_spare, out_spare = 8 * in_dma - source.width, 8 * out_dma - sink.width
    text = resource(f"export/pynq/rtl/{SHELL}.in").read_text(encoding="utf-8")
    template = string.Template(library_text(text, loadable=design.loading is not None))
    return template.substitute(
        name=design.name,
        top=design.top,
        design_id=design_id,
        in_name=source.name,
        out_name=sink.name,
        in_dma=in_dma,
        in_core=source.bytes_per_beat,
        in_dma_top=8 * in_dma - 1,
        in_core_top=source.width - 1,
        out_dma=out_dma,
        out_core=sink.bytes_per_beat,
        out_dma_top=8 * out_dma - 1,
        out_core_top=sink.width - 1,
        out_keep_top=out_dma - 1,
        out_data=f"{{{out_spare}'d0, core_out_data}}" if out_spare else "core_out_data",
        unused_data=f", s_axis_tdata[{8 * in_dma - 1}:{source.width}]" if in_spare else "",
    )
