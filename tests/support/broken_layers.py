"""Layers of a stitched design broken one by one, each in its own wrapper or memory file."""

from __future__ import annotations

import re
from pathlib import Path

from qdeploy.design.manifest import Design

_VALID = "  assign out0_V_TVALID = out0_tvalid;\n"
_READY = "  assign out0_tready = out0_V_TREADY;\n"
_DATA = re.compile(r"  assign out0_V_TDATA = (.*);\n")
# The third beat is taken and not passed on.
_DROPPING = """  reg [1:0] beats;
  always @(posedge ap_clk)
    if (!ap_rst_n) beats <= 2'd0;
    else if (out0_tvalid & out0_tready & ~&beats) beats <= beats + 2'd1;
  wire lost = beats == 2'd2;
  assign out0_V_TVALID = out0_tvalid & ~lost;
  assign out0_tready = out0_V_TREADY | lost;
"""


def drop_a_beat(folder: Path, module: str) -> None:
    """The layer `module` loses its third beat."""
    _write(folder, module, dropping(_read(folder, module)))


def dropping(text: str) -> str:
    """The wrapper of a layer that loses its third beat."""
    assert text.count(_VALID) == text.count(_READY) == 1
    return text.replace(_VALID, "").replace(_READY, _DROPPING)


def turn_a_code(folder: Path, module: str) -> None:
    """The lowest bit of every beat of the layer `module` is turned over."""
    text, count = _DATA.subn(r"  assign out0_V_TDATA = (\1) ^ 1;\n", _read(folder, module))
    assert count == 1
    _write(folder, module, text)


def memories(folder: Path, design: Design) -> dict[str, str]:
    """Memory file -> the layer's module that reads it."""
    texts = {layer.module: _read(folder, layer.module) for layer in design.layers}
    found = {}
    for name in design.memories:
        stem = re.sub(r"(_s\d+_p\d+)?\.hex$", "", name)
        (found[name],) = (m for m, text in texts.items() if re.search(rf'"{stem}(\.hex)?"', text))
    return found


def turn_over(path: Path) -> None:
    """Every bit of a memory file is turned over: a single word may be of a row whose code is
    always the same."""
    lines = path.read_text(encoding="utf-8").splitlines()
    turned = [f"{int(line, 16) ^ ((1 << 4 * len(line)) - 1):0{len(line)}x}" for line in lines]
    path.write_text("\n".join(turned) + "\n", encoding="utf-8")


def _read(folder: Path, module: str) -> str:
    return (folder / f"{module}.v").read_text(encoding="utf-8")


def _write(folder: Path, module: str, text: str) -> None:
    (folder / f"{module}.v").write_text(text, encoding="utf-8")
