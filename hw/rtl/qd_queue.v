// Output queue of a pipeline that cannot be stopped: places are reserved before work is started.
//
//   room       a place is free; a register
//   reserve    takes one place (only while `room`); its beat is pushed any number of cycles later
//   push       stores push_data; at most once for each reserved place, in the same order
//   out        WIDTH bits, AXI-Stream, from registers, two cycles after the push when empty
//   rate       one beat per cycle when DEPTH covers the cycles from `reserve` to `push` plus three
`default_nettype none
module qd_queue #(
  parameter WIDTH = 8,
  parameter DEPTH = 4
) (
  input  wire             clk,
  input  wire             rst_n,
  output wire             room,
  input  wire             reserve,
  input  wire             push,
  input  wire [WIDTH-1:0] push_data,
  output reg  [WIDTH-1:0] m_tdata,
  output reg              m_tvalid,
  input  wire             m_tready
);
  localparam B = $clog2(DEPTH);
  localparam [31:0] LAST = DEPTH - 1;

  reg  [WIDTH-1:0] store [0:DEPTH-1];
  reg  [B-1:0]     head, tail;
  wire             used_up, waiting, unused_some, unused_full;
  wire             load = waiting & (m_tready | ~m_tvalid);
  assign room = ~used_up;

  qd_level #(.MAX(DEPTH)) places (.clk(clk), .rst_n(rst_n), .up(reserve),
    .down(m_tvalid & m_tready), .some(unused_some), .full(used_up));
  qd_level #(.MAX(DEPTH)) stored (.clk(clk), .rst_n(rst_n), .up(push), .down(load),
    .some(waiting), .full(unused_full));

  always @(posedge clk)
    if (!rst_n) begin
      head     <= {B{1'b0}};
      tail     <= {B{1'b0}};
      m_tvalid <= 1'b0;
    end else begin
      if (push) tail <= (tail == LAST[B-1:0]) ? {B{1'b0}} : tail + 1'b1;
      if (load) head <= (head == LAST[B-1:0]) ? {B{1'b0}} : head + 1'b1;
      if (load | m_tready) m_tvalid <= load;
    end

  always @(posedge clk) begin
    if (push) store[tail] <= push_data;
    if (load) m_tdata <= store[head];
  end
endmodule
`default_nettype wire
