// Stream FIFO, first word falls through.
//
//   in    WIDTH bits per beat
//   out   the same beats in order
//   fill  words held now, output register included, at most DEPTH (up to 65535)
//   rate  one beat per cycle in and out, at every DEPTH
//   time  a beat into the empty FIFO is at the output one cycle later (DEPTH 1 and 2), two (up to
//         32), or three
//   ready a register, except DEPTH 1: there s_tready follows m_tready
//   size  DEPTH 1 and 2: registers; else a memory of DEPTH words (RAM_STYLE: "auto",
//         "distributed" or "block") with a read register, which is the output register up to 32
//         words; deeper ones may be block RAM, whose data come late in the cycle, and have an
//         output register after it; a power of two saves comparing the addresses with the last one
`default_nettype none
module qd_fifo #(
  parameter WIDTH     = 8,
  parameter DEPTH     = 16,
  // Goes into an attribute, which the linter does not look into.
  /* verilator lint_off UNUSEDPARAM */
  parameter RAM_STYLE = "auto"
  /* verilator lint_on UNUSEDPARAM */
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [WIDTH-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready,
  output wire [15:0]      fill
);
  wire push = s_tvalid & s_tready;

  generate
    if (DEPTH == 1) begin : g_one
      reg [WIDTH-1:0] word;
      reg             full;
      assign s_tready = ~full | m_tready;
      assign m_tdata  = word;
      assign m_tvalid = full;
      assign fill     = {15'd0, full};
      wire pop = m_tvalid & m_tready;
      always @(posedge clk)
        if (!rst_n) full <= 1'b0;
        else        full <= push | (full & ~pop);
      always @(posedge clk) if (push) word <= s_tdata;
    end else if (DEPTH == 2) begin : g_two
      reg [WIDTH-1:0] head, spare;
      reg             head_full, spare_full;
      assign s_tready = ~spare_full;
      wire pop = m_tvalid & m_tready;
      assign m_tdata  = head;
      assign m_tvalid = head_full;
      assign fill     = {14'd0, spare_full, head_full & ~spare_full};
      always @(posedge clk)
        if (!rst_n) begin
          head_full  <= 1'b0;
          spare_full <= 1'b0;
        end else begin
          head_full  <= push | spare_full | (head_full & ~pop);
          spare_full <= head_full & ~pop & (push | spare_full);
        end
      always @(posedge clk) begin
        if (pop | ~head_full) head <= spare_full ? spare : s_tdata;
        if (push) spare <= s_tdata;
      end
    end else begin : g_memory
      // A word leaves the memory for the registers after it, so the memory never holds all DEPTH.
      localparam AB = $clog2(DEPTH);
      localparam DEEP = DEPTH > 32;
      localparam WRAPS = (DEPTH != (1 << AB));
      localparam [31:0] LAST  = DEPTH - 1;
      localparam [31:0] BELOW = DEPTH - (DEEP ? 3 : 2);
      localparam [31:0] ONE   = 1;
      (* ram_style = RAM_STYLE *) reg [WIDTH-1:0] words [0:DEPTH-1];
      reg  [WIDTH-1:0] head;    // read register of the memory
      reg              head_full;
      wire             leave;   // the head may be replaced: its word is taken
      wire [1:0]       after;   // words in registers
      reg  [AB-1:0]    write_at, read_at;
      reg  [AB-1:0]    level;   // words in the memory
      reg              stored;  // level > 0
      reg              full;    // the memory holds DEPTH less the words in registers
      wire             fetch = stored & (~head_full | leave);
      assign s_tready = ~full;
      assign fill     = {{(16-AB){1'b0}}, level} + {14'd0, after};
      always @(posedge clk)
        if (!rst_n) begin
          write_at  <= {AB{1'b0}};
          read_at   <= {AB{1'b0}};
          level     <= {AB{1'b0}};
          head_full <= 1'b0;
          stored    <= 1'b0;
          full      <= 1'b0;
        end else begin
          if (push)  write_at <= (WRAPS && write_at == LAST[AB-1:0]) ? {AB{1'b0}} : write_at + 1'b1;
          if (fetch) read_at  <= (WRAPS && read_at == LAST[AB-1:0]) ? {AB{1'b0}} : read_at + 1'b1;
          if (push ^ fetch) begin
            level  <= level + {{(AB-1){fetch}}, 1'b1};  // + 1 or - 1
            stored <= push | (level != ONE[AB-1:0]);
            full   <= push & (level == BELOW[AB-1:0]);
          end
          head_full <= fetch | (head_full & ~leave);
        end
      if (DEEP) begin : g_after
        reg [WIDTH-1:0] last;
        reg             last_full;
        assign leave    = ~last_full | m_tready;
        assign m_tdata  = last;
        assign m_tvalid = last_full;
        assign after    = {head_full & last_full, head_full ^ last_full};
        always @(posedge clk)
          if (!rst_n)     last_full <= 1'b0;
          else if (leave) last_full <= head_full;
        always @(posedge clk) if (leave) last <= head;
      end else begin : g_head
        assign leave    = m_tready;
        assign m_tdata  = head;
        assign m_tvalid = head_full;
        assign after    = {1'b0, head_full};
      end
      always @(posedge clk) if (push) words[write_at] <= s_tdata;
      always @(posedge clk) if (fetch) head <= words[read_at];
    end
  endgenerate

  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (DEPTH < 1 || DEPTH > 65535) begin : g_refused0
      DEPTH_is_not_1_to_65535 refused ();
    end
  endgenerate
endmodule
`default_nettype wire
