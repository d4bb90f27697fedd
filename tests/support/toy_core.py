"""A small core with the ports of a stitched design: three channels of 2x2 in, five sums out.

    out[k] = Σ_i w[k, i] · x[i],  x in (H, W, C) order, w in -8 … 7

Three 8-bit codes per beat are 3 bytes in, one 12-bit sum per beat 2 bytes out: the width of neither
stream is a power of two. The weights lie in a memory file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.design.manifest import Design, Layer, Stream

SUMS, CODES, LANES, BITS = 5, 12, 3, 15
DATA_SHAPE = (3, 2, 2)
INPUT_BITS = 8

_VERILOG = """
/* verilator lint_off WIDTH */
/* verilator lint_off BLKSEQ */
module toy_core (
  input  wire clk,
  input  wire rst_n,
  input  wire [23:0] s_axis_tdata,
  input  wire s_axis_tvalid,
  output wire s_axis_tready,
  output wire [15:0] m_axis_tdata,
  output wire m_axis_tvalid,
  output wire m_axis_tlast,
  input  wire m_axis_tready
);
  reg signed [3:0] rom [0:59];
  initial $readmemh("toy_weights.hex", rom);

  reg signed [14:0] acc [0:4];
  reg [1:0] beat;
  reg [2:0] sum;
  reg sending;

  assign s_axis_tready = !sending;
  assign m_axis_tvalid = sending;
  assign m_axis_tlast  = sum == 3'd4;
  assign m_axis_tdata  = {1'b0, acc[sum]};

  integer k, c;
  reg signed [14:0] add;
  always @(posedge clk) begin
    if (!rst_n) begin
      beat <= 0; sum <= 0; sending <= 0;
      for (k = 0; k < 5; k = k + 1) acc[k] <= 0;
    end else if (s_axis_tvalid && s_axis_tready) begin
      for (k = 0; k < 5; k = k + 1) begin
        add = (beat == 0) ? 15'sd0 : acc[k];
        for (c = 0; c < 3; c = c + 1)
          add = add + rom[12*k + 3*{30'd0, beat} + c] * $signed({7'd0, s_axis_tdata[8*c +: 8]});
        acc[k] <= add;
      end
      beat <= beat + 1;
      if (beat == 2'd3) sending <= 1;
    end else if (m_axis_tvalid && m_axis_tready) begin
      sum <= (sum == 3'd4) ? 3'd0 : sum + 3'd1;
      if (sum == 3'd4) sending <= 0;
    end
  end
endmodule
"""


def weights() -> npt.NDArray[np.int64]:
    """(sums, codes)."""
    return np.random.default_rng(1).integers(-8, 8, (SUMS, CODES))


def write_core(folder: Path, board: str = "pynq-z2", part: str = "xc7z020clg400-1") -> Design:
    """Write the core as a design folder."""
    folder.mkdir(parents=True)
    (folder / "toy_core.v").write_text(_VERILOG, encoding="utf-8")
    words = "\n".join(f"{int(w) & 15:x}" for w in weights().reshape(-1))
    (folder / "toy_weights.hex").write_text(words + "\n", encoding="utf-8")
    design = Design(
        name="toy",
        top="toy_core",
        board=board,
        part=part,
        clock_mhz=100.0,
        sources=["toy_core.v"],
        memories=["toy_weights.hex"],
        input=Stream("s_axis", "input", (2, 2, 3), 8, False, LANES),
        output=Stream("m_axis", "logits", (SUMS,), BITS, True, 1),
        taps=[],
        fifos=[],
        layers=[Layer("fc_0", "fc", "MVAU", "toy_core", 9, {"PE": 5, "SIMD": 3})],
        logit_scale=0.125,
    )
    design.save(folder)
    return design


def expected(raw: npt.NDArray[np.uint8], shift: int = 0) -> npt.NDArray[np.int64]:
    """What must come out for raw frames (N, 3, 2, 2)."""
    codes = (raw >> shift).astype(np.int64).transpose(0, 2, 3, 1).reshape(len(raw), -1)
    return codes @ weights().T


def frames(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Random raw frames."""
    shape = (count, *DATA_SHAPE)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
