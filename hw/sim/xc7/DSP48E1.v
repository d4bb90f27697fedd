// A DSP block as multiplier, pre-adder and adder: P = Z ± (X + Y + carry), M = (A or D ± A) * B.
//
// Not modelled, and refused where the parameters ask for it: SIMD and pattern detection; registers
// of the control inputs; the logic functions of ALUMODE and cascaded carries stop the simulation.
//
//   OPMODE[1:0]  X: 0, M, P, A:B      OPMODE[3:2]  Y: 0, (M with X), ones, C
//   OPMODE[6:4]  Z: 0, PCIN, P, C, P, PCIN >>> 17, P >>> 17
//   ALUMODE      0: Z + X + Y + c    1: -Z + X + Y + c - 1    2: -(Z + X + Y + c) - 1    3: Z - X - Y - c
//   INMODE       [1]: A counts as 0 before the multiplier, [2]: D counts, [3]: D - A
module DSP48E1 #(
  parameter integer ACASCREG = 1,
  parameter integer ADREG = 1,
  parameter integer ALUMODEREG = 1,
  parameter integer AREG = 1,
  parameter integer BCASCREG = 1,
  parameter integer BREG = 1,
  parameter integer CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1,
  parameter integer CREG = 1,
  parameter integer DREG = 1,
  parameter integer INMODEREG = 1,
  parameter integer MREG = 1,
  parameter integer OPMODEREG = 1,
  parameter integer PREG = 1,
  parameter [55:0] A_INPUT = "DIRECT",
  parameter [55:0] B_INPUT = "DIRECT",
  parameter [39:0] USE_DPORT = "FALSE",
  parameter [39:0] USE_SIMD = "ONE48",
  parameter [63:0] USE_MULT = "MULTIPLY"
) (
  output wire [29:0] ACOUT,
  output wire [17:0] BCOUT,
  output wire [47:0] P, PCOUT,
  input wire [29:0] A, ACIN,
  input wire [17:0] B, BCIN,
  input wire [47:0] C, PCIN,
  input wire [24:0] D,
  input wire [3:0] ALUMODE,
  input wire [4:0] INMODE,
  input wire [6:0] OPMODE,
  input wire [2:0] CARRYINSEL,
  input wire CARRYIN, CLK,
  input wire CEA1, CEA2, CEAD, CEB1, CEB2, CEC, CED, CEM, CEP,
  input wire RSTA, RSTB, RSTC, RSTD, RSTM, RSTP
);
  wire [29:0] a_in = A_INPUT == "CASCADE" ? ACIN : A;
  wire [17:0] b_in = B_INPUT == "CASCADE" ? BCIN : B;
  wire [29:0] a1, a2;
  wire [17:0] b1, b2;
  wire [24:0] d_kept, ad;
  wire [47:0] c_kept;
  qd_stage #(.W(30), .ON(AREG > 1)) keep_a1 (.clk(CLK), .ce(CEA1), .rst(RSTA), .d(a_in), .q(a1));
  qd_stage #(.W(30), .ON(AREG > 0)) keep_a2 (.clk(CLK), .ce(CEA2), .rst(RSTA), .d(a1), .q(a2));
  qd_stage #(.W(18), .ON(BREG > 1)) keep_b1 (.clk(CLK), .ce(CEB1), .rst(RSTB), .d(b_in), .q(b1));
  qd_stage #(.W(18), .ON(BREG > 0)) keep_b2 (.clk(CLK), .ce(CEB2), .rst(RSTB), .d(b1), .q(b2));
  qd_stage #(.W(25), .ON(DREG)) keep_d (.clk(CLK), .ce(CED), .rst(RSTD), .d(D), .q(d_kept));
  qd_stage #(.W(48), .ON(CREG)) keep_c (.clk(CLK), .ce(CEC), .rst(RSTC), .d(C), .q(c_kept));
  assign ACOUT = a2;
  assign BCOUT = b2;

  wire [24:0] a_part = INMODE[1] ? 25'd0 : a2[24:0];
  wire [24:0] d_part = INMODE[2] ? d_kept : 25'd0;
  wire [24:0] difference = INMODE[3] ? d_part - a_part : d_part + a_part;
  qd_stage #(.W(25), .ON(ADREG)) keep_ad (.clk(CLK), .ce(CEAD), .rst(RSTD), .d(difference), .q(ad));
  wire signed [42:0] factor = USE_DPORT == "TRUE" ? {{18{ad[24]}}, ad} : {{18{a_part[24]}}, a_part};
  wire signed [42:0] times = {{25{b2[17]}}, b2};
  wire [42:0] m;
  qd_stage #(.W(43), .ON(MREG)) keep_m (.clk(CLK), .ce(CEM), .rst(RSTM), .d(factor * times), .q(m));

  reg [47:0] x, y, z, sum;
  wire [47:0] back = PREG != 0 ? P : 48'd0;
  wire [47:0] w = x + y + {47'd0, CARRYIN};
  always @* begin
    case (OPMODE[1:0])
      2'd0: x = 48'd0;
      2'd1: x = {{5{m[42]}}, m};
      2'd2: x = back;
      default: x = {a2, b2};
    endcase
    case (OPMODE[3:2])
      2'd2: y = {48{1'b1}};
      2'd3: y = c_kept;
      default: y = 48'd0;
    endcase
    case (OPMODE[6:4])
      3'd1: z = PCIN;
      3'd2, 3'd4: z = back;
      3'd3: z = c_kept;
      3'd5: z = {{17{PCIN[47]}}, PCIN[47:17]};
      3'd6: z = {{17{back[47]}}, back[47:17]};
      default: z = 48'd0;
    endcase
    case (ALUMODE[1:0])
      2'd0: sum = z + w;
      2'd1: sum = ~z + w;
      2'd2: sum = ~(z + w);
      default: sum = z - w;
    endcase
  end
  qd_stage #(.W(48), .ON(PREG)) keep_p (.clk(CLK), .ce(CEP), .rst(RSTP), .d(sum), .q(P));
  assign PCOUT = P;

  wire refused = ALUMODE[3:2] != 2'd0 || CARRYINSEL != 3'd0 || INMODE[0] || INMODE[4]
                 || (OPMODE[1:0] == 2'd1) != (OPMODE[3:2] == 2'd1)
                 || (PREG == 0 && (OPMODE[1:0] == 2'd2 || OPMODE[6:4] == 3'd2));
  always @* if (refused) $stop;
  generate
    if (USE_SIMD != "ONE48" || USE_MULT == "DYNAMIC" || ACASCREG != AREG || BCASCREG != BREG
        || ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0 || INMODEREG != 0
        || OPMODEREG != 0) begin : g_refused
      dsp_configuration_without_a_model refused ();
    end
  endgenerate
endmodule
