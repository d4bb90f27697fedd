// A block RAM of 18 kbit, without output registers.
//
// RAM_MODE "TDP": two ports of up to 18 bits. "SDP": port A reads and port B writes, up to 36 bits;
// at 36 the halves of a word are on the A and B pins, A the lower. See qd_bram.v.
module RAMB18E1 #(
  parameter integer DOA_REG = 0,
  parameter integer DOB_REG = 0,
  parameter [23:0] RAM_MODE = "TDP",
  parameter integer READ_WIDTH_A = 0,
  parameter integer READ_WIDTH_B = 0,
  parameter integer WRITE_WIDTH_A = 0,
  parameter integer WRITE_WIDTH_B = 0,
  parameter [87:0] WRITE_MODE_A = "WRITE_FIRST",
  parameter [87:0] WRITE_MODE_B = "WRITE_FIRST",
  parameter [17:0] INIT_A = 18'd0,
  parameter [17:0] INIT_B = 18'd0,
  parameter [17:0] SRVAL_A = 18'd0,
  parameter [17:0] SRVAL_B = 18'd0,
  parameter [255:0] INIT_00 = 256'd0, parameter [255:0] INIT_01 = 256'd0,
  parameter [255:0] INIT_02 = 256'd0, parameter [255:0] INIT_03 = 256'd0,
  parameter [255:0] INIT_04 = 256'd0, parameter [255:0] INIT_05 = 256'd0,
  parameter [255:0] INIT_06 = 256'd0, parameter [255:0] INIT_07 = 256'd0,
  parameter [255:0] INIT_08 = 256'd0, parameter [255:0] INIT_09 = 256'd0,
  parameter [255:0] INIT_0A = 256'd0, parameter [255:0] INIT_0B = 256'd0,
  parameter [255:0] INIT_0C = 256'd0, parameter [255:0] INIT_0D = 256'd0,
  parameter [255:0] INIT_0E = 256'd0, parameter [255:0] INIT_0F = 256'd0,
  parameter [255:0] INIT_10 = 256'd0, parameter [255:0] INIT_11 = 256'd0,
  parameter [255:0] INIT_12 = 256'd0, parameter [255:0] INIT_13 = 256'd0,
  parameter [255:0] INIT_14 = 256'd0, parameter [255:0] INIT_15 = 256'd0,
  parameter [255:0] INIT_16 = 256'd0, parameter [255:0] INIT_17 = 256'd0,
  parameter [255:0] INIT_18 = 256'd0, parameter [255:0] INIT_19 = 256'd0,
  parameter [255:0] INIT_1A = 256'd0, parameter [255:0] INIT_1B = 256'd0,
  parameter [255:0] INIT_1C = 256'd0, parameter [255:0] INIT_1D = 256'd0,
  parameter [255:0] INIT_1E = 256'd0, parameter [255:0] INIT_1F = 256'd0,
  parameter [255:0] INIT_20 = 256'd0, parameter [255:0] INIT_21 = 256'd0,
  parameter [255:0] INIT_22 = 256'd0, parameter [255:0] INIT_23 = 256'd0,
  parameter [255:0] INIT_24 = 256'd0, parameter [255:0] INIT_25 = 256'd0,
  parameter [255:0] INIT_26 = 256'd0, parameter [255:0] INIT_27 = 256'd0,
  parameter [255:0] INIT_28 = 256'd0, parameter [255:0] INIT_29 = 256'd0,
  parameter [255:0] INIT_2A = 256'd0, parameter [255:0] INIT_2B = 256'd0,
  parameter [255:0] INIT_2C = 256'd0, parameter [255:0] INIT_2D = 256'd0,
  parameter [255:0] INIT_2E = 256'd0, parameter [255:0] INIT_2F = 256'd0,
  parameter [255:0] INIT_30 = 256'd0, parameter [255:0] INIT_31 = 256'd0,
  parameter [255:0] INIT_32 = 256'd0, parameter [255:0] INIT_33 = 256'd0,
  parameter [255:0] INIT_34 = 256'd0, parameter [255:0] INIT_35 = 256'd0,
  parameter [255:0] INIT_36 = 256'd0, parameter [255:0] INIT_37 = 256'd0,
  parameter [255:0] INIT_38 = 256'd0, parameter [255:0] INIT_39 = 256'd0,
  parameter [255:0] INIT_3A = 256'd0, parameter [255:0] INIT_3B = 256'd0,
  parameter [255:0] INIT_3C = 256'd0, parameter [255:0] INIT_3D = 256'd0,
  parameter [255:0] INIT_3E = 256'd0, parameter [255:0] INIT_3F = 256'd0,
  parameter [255:0] INITP_00 = 256'd0, parameter [255:0] INITP_01 = 256'd0,
  parameter [255:0] INITP_02 = 256'd0, parameter [255:0] INITP_03 = 256'd0,
  parameter [255:0] INITP_04 = 256'd0, parameter [255:0] INITP_05 = 256'd0,
  parameter [255:0] INITP_06 = 256'd0, parameter [255:0] INITP_07 = 256'd0
) (
  output wire [15:0] DOADO, DOBDO,
  output wire [1:0] DOPADOP, DOPBDOP,
  input wire [13:0] ADDRARDADDR, ADDRBWRADDR,
  input wire CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN,
  input wire REGCEAREGCE, REGCEB, RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
  input wire [15:0] DIADI, DIBDI,
  input wire [1:0] DIPADIP, DIPBDIP,
  input wire [1:0] WEA,
  input wire [3:0] WEBWE
);
  localparam SDP = RAM_MODE == "SDP";
  localparam WIDE_READ = SDP && READ_WIDTH_A == 36;
  localparam WIDE_WRITE = SDP && WRITE_WIDTH_B == 36;
  // A wide port starts with the values of both ports, data and parity apart.
  function [35:0] joined(input [17:0] b, input [17:0] a);
    joined = {b[17:16], a[17:16], b[15:0], a[15:0]};
  endfunction
  wire [63:0] q;
  wire [7:0] qp;
  qd_bram #(
    .ROW(32),
    .INIT({
    INIT_3F, INIT_3E, INIT_3D, INIT_3C, INIT_3B, INIT_3A, INIT_39, INIT_38,
    INIT_37, INIT_36, INIT_35, INIT_34, INIT_33, INIT_32, INIT_31, INIT_30,
    INIT_2F, INIT_2E, INIT_2D, INIT_2C, INIT_2B, INIT_2A, INIT_29, INIT_28,
    INIT_27, INIT_26, INIT_25, INIT_24, INIT_23, INIT_22, INIT_21, INIT_20,
    INIT_1F, INIT_1E, INIT_1D, INIT_1C, INIT_1B, INIT_1A, INIT_19, INIT_18,
    INIT_17, INIT_16, INIT_15, INIT_14, INIT_13, INIT_12, INIT_11, INIT_10,
    INIT_0F, INIT_0E, INIT_0D, INIT_0C, INIT_0B, INIT_0A, INIT_09, INIT_08,
    INIT_07, INIT_06, INIT_05, INIT_04, INIT_03, INIT_02, INIT_01, INIT_00
    }),
    .INITP({
    INITP_07, INITP_06, INITP_05, INITP_04, INITP_03, INITP_02, INITP_01, INITP_00
    }),
    .READ_A(READ_WIDTH_A), .READ_B(READ_WIDTH_B), .WRITE_A(WRITE_WIDTH_A), .WRITE_B(WRITE_WIDTH_B),
    .READ_FIRST({WRITE_MODE_B == "READ_FIRST", WRITE_MODE_A == "READ_FIRST"}),
    .WRITE_FIRST({WRITE_MODE_B == "WRITE_FIRST", WRITE_MODE_A == "WRITE_FIRST"}),
    .START_A(WIDE_READ ? joined(INIT_B, INIT_A) : {18'd0, INIT_A}),
    .START_B({18'd0, INIT_B}),
    .RESET_A(WIDE_READ ? joined(SRVAL_B, SRVAL_A) : {18'd0, SRVAL_A}),
    .RESET_B({18'd0, SRVAL_B})
  ) memory (
    .clk({CLKBWRCLK, CLKARDCLK}), .en({ENBWREN, ENARDEN}), .rst({RSTRAMB, RSTRAMARSTRAM}),
    .at({ADDRBWRADDR, ADDRARDADDR}),
    .we({WEBWE, 2'd0, WEA}),
    .d({WIDE_WRITE ? {DIBDI, DIADI} : {16'd0, DIBDI}, 16'd0, DIADI}),
    .dp({WIDE_WRITE ? {DIPBDIP, DIPADIP} : {2'd0, DIPBDIP}, 2'd0, DIPADIP}),
    .q(q), .qp(qp)
  );
  assign DOADO = q[15:0];
  assign DOPADOP = qp[1:0];
  assign DOBDO = WIDE_READ ? q[31:16] : q[47:32];
  assign DOPBDOP = WIDE_READ ? qp[3:2] : qp[5:4];
  wire unused = &{1'b0, q[63:48], qp[7:6], REGCEAREGCE, REGCEB, RSTREGARSTREG, RSTREGB};
  generate
    if (DOA_REG != 0 || DOB_REG != 0) begin : g_refused
      ramb_mode_without_a_model refused ();
    end
  endgenerate
endmodule
