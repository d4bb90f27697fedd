// Head of the configuration chain: takes an image of all memories while no frame is under way.
//
//   s          the image, a byte per beat, TLAST on its last byte; not ready while frames are under
//              way, or while the memories still take the end of an image
//   in_valid, in_ready, allow   the design's input: a beat goes in where all three are high. A frame
//              that has begun goes in whole; then, with an image waiting, no other does until the
//              image is in the memories
//   out_end    a frame's last beat leaves at this clock edge
//   config_out, config_back     {restart, valid, byte} to the first link of the chain and from the
//              last one (qd_load). After an image a restart goes through: once it is back, every
//              word is written
//   crc        CRC-32 (that of zlib) of the bytes taken since the image began; stays afterwards
//   state      bit 0: an image waits or is being taken; bit 1: the last image had BYTES bytes;
//              bit 2: it had not; bits 7 to 4: images taken since reset, modulo 16
//
// A reset of the design ends an image that is under way; words written stay.
`default_nettype none
module qd_config #(
  parameter IN_BEATS = 16,
  parameter BYTES    = 64
) (
  input  wire        clk,
  input  wire        rst_n,
  input  wire [7:0]  s_tdata,
  input  wire        s_tvalid,
  output wire        s_tready,
  input  wire        s_tlast,
  input  wire        in_valid,
  input  wire        in_ready,
  output wire        allow,
  input  wire        out_end,
  output reg  [9:0]  config_out,
  input  wire [9:0]  config_back,
  output wire [31:0] crc,
  output wire [7:0]  state
);
  // ---- frames: whether one is going in, whether any is under way ----
  wire in_last, under_way, unused_full;
  wire in_take = in_valid & in_ready & allow;
  reg  begun;
  qd_cycle #(.N(IN_BEATS)) beat (.clk(clk), .rst_n(rst_n), .step(in_take), .last(in_last));
  qd_level #(.MAX(65535)) frames (.clk(clk), .rst_n(rst_n), .up(in_take & ~begun),
    .down(out_end), .some(under_way), .full(unused_full));
  always @(posedge clk)
    if (!rst_n) begun <= 1'b0;
    else if (in_take) begun <= ~in_last;

  // ---- an image waits, is taken, goes through ----
  reg  blocked, open, ending, closing;
  wire take   = s_tvalid & open;
  wire start  = blocked & ~open & ~ending & ~closing & ~under_way;
  wire clear  = closing & config_back[9];
  assign allow    = ~blocked;
  assign s_tready = open;
  always @(posedge clk)
    if (!rst_n) begin
      blocked <= 1'b0;
      open    <= 1'b0;
      ending  <= 1'b0;
      closing <= 1'b0;
    end else begin
      // A beat that was offered is not taken back: the input closes after a frame, or between two.
      if (clear) blocked <= 1'b0;
      else if (s_tvalid & ((~begun & ~in_valid) | (in_take & in_last))) blocked <= 1'b1;
      if (start) open <= 1'b1;
      else if (take & s_tlast) open <= 1'b0;
      ending  <= take & s_tlast;
      closing <= ending | (closing & ~clear);
    end

  always @(posedge clk)
    if (!rst_n) config_out <= 10'd0;
    else config_out <= {ending, take, s_tdata};
  wire unused_back = &{1'b0, config_back[8:0]};

  // ---- what was taken ----
  localparam B = $clog2(BYTES + 2);
  localparam [31:0] ALL = BYTES;
  reg  [31:0]  remainder, next;
  reg  [B-1:0] count;
  reg          right, wrong;
  reg  [3:0]   images;
  integer      i;
  always @* begin
    next = remainder ^ {24'd0, s_tdata};
    for (i = 0; i < 8; i = i + 1) next = {1'b0, next[31:1]} ^ (next[0] ? 32'hEDB88320 : 32'd0);
  end
  always @(posedge clk)
    if (!rst_n) begin
      remainder <= 32'hFFFFFFFF;
      count     <= {B{1'b0}};
      right     <= 1'b0;
      wrong     <= 1'b0;
      images    <= 4'd0;
    end else begin
      if (start) remainder <= 32'hFFFFFFFF;
      else if (take) remainder <= next;
      if (start) count <= {B{1'b0}};
      else if (take & (count <= ALL[B-1:0])) count <= count + 1'b1;
      if (start) right <= 1'b0;
      else if (ending) right <= count == ALL[B-1:0];
      if (start) wrong <= 1'b0;
      else if (ending) wrong <= count != ALL[B-1:0];
      if (clear) images <= images + 4'd1;
    end
  assign crc   = ~remainder;
  assign state = {images, 1'b0, wrong, right, blocked};
endmodule
`default_nettype wire
