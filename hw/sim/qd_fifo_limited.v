// Stand-in for `qd_fifo` in simulation whose depth is an input: depths are tried without compiling.
//
//   limit   depth to behave like, constant from reset on: 0 a wire (no FIFO), 2 or more like
//           `qd_fifo` of that DEPTH to the cycle; at most DEPTH
//   the rest as in `qd_fifo`
//
// Not for synthesis.
`default_nettype none
module qd_fifo_limited #(
  parameter WIDTH = 8,
  parameter DEPTH = 1024
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [WIDTH-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready,
  output wire [15:0]      fill,
  input  wire [15:0]      limit
);
  localparam AB = $clog2(DEPTH);
  localparam [31:0] LAST = DEPTH - 1;
  reg  [WIDTH-1:0] words [0:DEPTH-1];
  reg  [AB-1:0]    write_at, read_at;
  reg  [15:0]      count;   // words, the one at the output included
  reg              loaded;  // as `head_full` of a memory FIFO: its read register holds a word
  reg              last;    // as its `last_full`: so does the register after that, of a deep one
  wire             absent = (limit == 16'd0);
  wire             memory = (limit > 16'd2);
  wire             deep   = (limit > 16'd32);
  wire             leave  = m_tready | (deep & ~last);
  wire [15:0]      behind = count - {15'd0, loaded} - {15'd0, last};  // words in its memory
  wire             some   = deep ? last : memory ? loaded : (count != 16'd0);
  wire             room   = memory ? (behind != limit - (deep ? 16'd2 : 16'd1)) : (count != limit);
  wire             push   = s_tvalid & room & ~absent;
  wire             pop    = some & m_tready & ~absent;
  assign s_tready = absent ? m_tready : room;
  assign m_tvalid = absent ? s_tvalid : some;
  assign m_tdata  = absent ? s_tdata : words[read_at];
  assign fill     = count;
  always @(posedge clk)
    if (!rst_n) begin
      write_at <= {AB{1'b0}};
      read_at  <= {AB{1'b0}};
      count    <= 16'd0;
      loaded   <= 1'b0;
      last     <= 1'b0;
    end else begin
      if (push) write_at <= (write_at == LAST[AB-1:0]) ? {AB{1'b0}} : write_at + 1'b1;
      if (pop)  read_at  <= (read_at == LAST[AB-1:0]) ? {AB{1'b0}} : read_at + 1'b1;
      count  <= count + {15'd0, push} - {15'd0, pop};
      loaded <= (behind != 16'd0) & (~loaded | leave) | (loaded & ~leave);
      last   <= deep & (loaded | ~leave);
    end
  always @(posedge clk) if (push) words[write_at] <= s_tdata;
endmodule
`default_nettype wire
