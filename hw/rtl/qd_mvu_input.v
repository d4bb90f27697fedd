// Activations of a matrix-vector unit: each vector is used once for each of NF row groups.
//
//   in     SF beats per vector
//   issue  the present beat is used at this clock edge: it is there and `allow` is high
//   data   that beat, one cycle after `issue`
//   sf_last, nf_last  the present beat is the vector's last, the row group is the last
//   rate   for NF = 1 beats go straight through; else a beat can be used the cycle after it came,
//          and up to a whole vector is taken while the one before is in use
//   size   for NF > 1, 2*SF words
`default_nettype none
module qd_mvu_input #(
  parameter WIDTH = 8,
  parameter SF    = 4,
  parameter NF    = 2
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  input  wire             allow,
  input  wire             sf_last,
  input  wire             nf_last,
  output wire             issue,
  output reg  [WIDTH-1:0] data
);
  generate
    if (NF == 1) begin : g_straight
      wire unused = &{1'b0, rst_n, sf_last, nf_last};
      assign s_tready = allow;
      assign issue    = allow & s_tvalid;
      always @(posedge clk) data <= s_tdata;
    end else begin : g_kept
      localparam B = $clog2(2*SF);
      localparam [31:0] HALF = SF, END = 2*SF - 1;
      (* no_rw_check *) reg [WIDTH-1:0] ring [0:2*SF-1];
      reg  [B-1:0] write_at, read_at;
      reg          upper, first_use;
      wire         full, fresh, unused_some, unused_full;
      wire         take = s_tvalid & s_tready;
      wire         done = issue & sf_last;
      assign s_tready = ~full;
      assign issue    = allow & (fresh | ~first_use);

      // Places in use are given back in the last row group; beats are fresh until the first.
      qd_level #(.MAX(2*SF)) places (.clk(clk), .rst_n(rst_n), .up(take),
        .down(issue & nf_last), .some(unused_some), .full(full));
      qd_level #(.MAX(2*SF)) unused_yet (.clk(clk), .rst_n(rst_n), .up(take),
        .down(issue & first_use), .some(fresh), .full(unused_full));

      // `upper`: the vector in use is in the ring's upper half.
      always @(posedge clk)
        if (!rst_n) begin
          write_at  <= {B{1'b0}};
          read_at   <= {B{1'b0}};
          upper     <= 1'b0;
          first_use <= 1'b1;
        end else begin
          if (take) write_at <= (write_at == END[B-1:0]) ? {B{1'b0}} : write_at + 1'b1;
          if (done) upper <= upper ^ nf_last;
          if (done) first_use <= nf_last;
          if (done) read_at <= (upper ^ nf_last) ? HALF[B-1:0] : {B{1'b0}};
          else if (issue) read_at <= read_at + 1'b1;
        end
      always @(posedge clk) begin
        if (take) ring[write_at] <= s_tdata;
        data <= ring[read_at];
      end
    end
  endgenerate
endmodule
`default_nettype wire
