// What RAMB18E1 and RAMB36E1 share: 512 rows of ROW data bits, a parity bit a byte, two ports.
//
// Widths count the parity: 1, 2, 4, 9, 18, 36 or 72, and 0 where a port does not read or write.
// An address counts data bits; those inside a word do not matter. An enabled clock edge writes the
// bytes that `we` names (all of a word below 9 bits by we[0]) and loads the output latch: with RESET
// while `rst`, else with what is read. A port that writes reads the old word in mode READ_FIRST,
// the new one in WRITE_FIRST, and keeps its latch in neither (NO_CHANGE). The other port reads the
// old word at a READ_FIRST write; at other writes it reads wrong bits, as the silicon may.
//
// Port A is in the lower half of every vector, port B in the upper.
module qd_bram #(
  parameter ROW = 32,
  parameter [512*ROW-1:0] INIT = 0,
  parameter [64*ROW-1:0] INITP = 0,
  parameter READ_A = 0,
  parameter READ_B = 0,
  parameter WRITE_A = 0,
  parameter WRITE_B = 0,
  parameter [1:0] READ_FIRST = 2'b00,
  parameter [1:0] WRITE_FIRST = 2'b11,
  parameter [9*ROW/8-1:0] START_A = 0,  // parity above data
  parameter [9*ROW/8-1:0] START_B = 0,
  parameter [9*ROW/8-1:0] RESET_A = 0,
  parameter [9*ROW/8-1:0] RESET_B = 0
) (
  input wire [1:0] clk, en, rst,
  input wire [2*$clog2(512*ROW)-1:0] at,
  input wire [2*ROW/8-1:0] we,
  input wire [2*ROW-1:0] d,
  input wire [2*ROW/8-1:0] dp,
  output wire [2*ROW-1:0] q,
  output wire [2*ROW/8-1:0] qp
);
  function integer bits(input integer width);
    bits = width < 9 ? width : width / 9 * 8;
  endfunction
  function integer least(input integer so_far, input integer width);
    least = width == 0 || width > so_far ? so_far : width;
  endfunction

  // Words are kept in units that every port reads and writes as a whole.
  localparam UNIT = least(least(least(least(8, READ_A), READ_B), WRITE_A), WRITE_B);
  localparam AT = $clog2(512 * ROW);
  localparam LANES = ROW / 8;
  // verilator lint_off MULTIDRIVEN
  reg [UNIT-1:0] data [0:512*ROW/UNIT-1];  // both ports may write, each at its own clock
  reg parity [0:64*ROW-1];
  // verilator lint_on MULTIDRIVEN
  integer k;
  initial begin
    for (k = 0; k < 512 * ROW / UNIT; k = k + 1) data[k] = INIT[k*UNIT +: UNIT];
    for (k = 0; k < 64 * ROW; k = k + 1) parity[k] = INITP[k];
  end

  wire unused_parity = parity[0];

  genvar port, u;
  generate
    for (port = 0; port < 2; port = port + 1) begin : g_port
      localparam READ = port == 0 ? READ_A : READ_B;
      localparam WRITE = port == 0 ? WRITE_A : WRITE_B;
      localparam OTHER = port == 0 ? WRITE_B : WRITE_A;
      wire [AT-1:0] here = at[port*AT +: AT];
      wire [AT-1:0] apart = here ^ at[(1-port)*AT +: AT];
      wire [LANES-1:0] enables = en[port] ? we[port*LANES +: LANES] : {LANES{1'b0}};
      wire [LANES-1:0] others = en[1-port] ? we[(1-port)*LANES +: LANES] : {LANES{1'b0}};

      if (WRITE != 0) begin : g_write
        localparam BITS = bits(WRITE);
        wire [AT-1:0] first = here >> $clog2(BITS) << $clog2(BITS / UNIT);
        for (u = 0; u < BITS / UNIT; u = u + 1) begin : g_unit
          always @(posedge clk[port])
            if (enables[u * UNIT / 8]) data[first + u] <= d[port*ROW + u*UNIT +: UNIT];
        end
        for (u = 0; u < BITS / 8 && WRITE > 8; u = u + 1) begin : g_parity
          wire [AT-4:0] lane = here[AT-1:3] >> $clog2(BITS / 8) << $clog2(BITS / 8);
          always @(posedge clk[port]) if (enables[u]) parity[lane + u] <= dp[port*LANES + u];
        end
      end

      if (READ == 0) begin : g_silent
        assign q[port*ROW +: ROW] = {ROW{1'b0}};
        assign qp[port*LANES +: LANES] = {LANES{1'b0}};
      end else begin : g_read
        localparam BITS = bits(READ);
        localparam PARITY = READ < 9 ? 0 : BITS / 8;
        localparam WIDER = bits(OTHER) > BITS ? bits(OTHER) : BITS;
        localparam [9*ROW/8-1:0] START = port == 0 ? START_A : START_B;
        localparam [9*ROW/8-1:0] RESET = port == 0 ? RESET_A : RESET_B;
        wire [AT-1:0] first = here >> $clog2(BITS) << $clog2(BITS / UNIT);
        wire clash = OTHER != 0 && !READ_FIRST[1-port] && |others && apart >> $clog2(WIDER) == 0;
        wire held = WRITE != 0 && !READ_FIRST[port] && !WRITE_FIRST[port] && |enables;
        wire [BITS+PARITY-1:0] word;
        for (u = 0; u < BITS / UNIT; u = u + 1) begin : g_unit
          wire through = WRITE != 0 && WRITE_FIRST[port] && enables[u * UNIT / 8];
          assign word[u*UNIT +: UNIT] = through ? d[port*ROW + u*UNIT +: UNIT] : data[first + u];
        end
        for (u = 0; u < PARITY; u = u + 1) begin : g_parity
          wire [AT-4:0] lane = here[AT-1:3] >> $clog2(BITS / 8) << $clog2(BITS / 8);
          wire through = WRITE != 0 && WRITE_FIRST[port] && enables[u];
          assign word[BITS + u] = through ? dp[port*LANES + u] : parity[lane + u];
        end
        reg [BITS+PARITY-1:0] latch;
        initial latch = START[BITS+PARITY-1:0];
        always @(posedge clk[port])
          if (en[port]) begin
            if (rst[port]) latch <= RESET[BITS+PARITY-1:0];
            else if (!held) latch <= word ^ {(BITS+PARITY){clash}};
          end
        if (BITS == ROW) begin : g_full
          assign q[port*ROW +: ROW] = latch[BITS-1:0];
        end else begin : g_part
          assign q[port*ROW +: ROW] = {{(ROW-BITS){1'b0}}, latch[BITS-1:0]};
        end
        if (PARITY == 0) begin : g_no_parity
          assign qp[port*LANES +: LANES] = {LANES{1'b0}};
        end else if (PARITY == LANES) begin : g_full_parity
          assign qp[port*LANES +: LANES] = latch[BITS+PARITY-1:BITS];
        end else begin : g_part_parity
          assign qp[port*LANES +: LANES] = {{(LANES-PARITY){1'b0}}, latch[BITS+PARITY-1:BITS]};
        end
        if (WRITE != 0 && WRITE != READ) begin : g_refused
          port_of_two_widths_without_a_model refused ();
        end
      end
      wire unused = &{1'b0, clk[port], rst[port], apart, enables, others, d[port*ROW +: ROW],
                      dp[port*LANES +: LANES]};
    end
  endgenerate
endmodule
