// Fills one memory from the configuration stream: a link of the chain through all memories.
//
//   config_in, config_out  {restart, valid, byte}, registered once by each link. After a restart,
//                          or reset, a link takes as many bytes as its memory has and passes on all
//                          that follow. Nothing here can be stopped: the head of the chain
//                          (qd_config) opens it only while the design is idle
//   write, at, word        one word of the memory: WIDTH bits, ceil(WIDTH/8) bytes, lowest first
//   size                   ceil(WIDTH/8) bytes of register
`default_nettype none
module qd_load #(
  parameter WIDTH = 8,
  parameter WORDS = 4
) (
  input  wire                                     clk,
  input  wire                                     rst_n,
  input  wire [9:0]                               config_in,
  output reg  [9:0]                               config_out,
  output reg                                      write,
  output reg  [((WORDS > 1) ? $clog2(WORDS) : 1)-1:0] at,
  output wire [WIDTH-1:0]                         word
);
  localparam BYTES = (WIDTH + 7)/8;
  localparam A     = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam [31:0] LAST = WORDS - 1;

  reg                full;
  reg  [A-1:0]       index;
  reg  [8*BYTES-1:0] bytes;
  wire               fresh = rst_n & ~config_in[9];
  wire               take  = config_in[8] & ~full;
  wire               last_byte;
  wire               done  = take & last_byte;
  qd_cycle #(.N(BYTES)) position (.clk(clk), .rst_n(fresh), .step(take), .last(last_byte));

  always @(posedge clk)
    if (!fresh) begin
      full  <= 1'b0;
      index <= {A{1'b0}};
    end else if (done) begin
      full  <= index == LAST[A-1:0];
      index <= index + 1'b1;
    end
  always @(posedge clk)
    if (!rst_n) begin
      write      <= 1'b0;
      config_out <= 10'd0;
    end else begin
      write      <= done;
      config_out <= {config_in[9], config_in[8] & ~take, config_in[7:0]};
    end

  always @(posedge clk) if (done) at <= index;
  assign word = bytes[WIDTH-1:0];
  generate
    if (BYTES == 1) begin : g_one
      always @(posedge clk) if (take) bytes <= config_in[7:0];
    end else begin : g_more
      always @(posedge clk) if (take) bytes <= {config_in[7:0], bytes[8*BYTES-1:8]};
    end
    if (8*BYTES > WIDTH) begin : g_spare
      wire unused_high = &{1'b0, bytes[8*BYTES-1:WIDTH]};
    end
  endgenerate
endmodule
`default_nettype wire
