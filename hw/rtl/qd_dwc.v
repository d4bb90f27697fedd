// Stream width converter; one width is a whole multiple of the other, element 0 first.
//
//   in    IN_WIDTH bits per beat
//   out   OUT_WIDTH bits per beat; the beat that came first takes the least significant bits
//   rate  the wider side's every beat costs as many cycles as the narrow side has beats; none lost
//   time  a narrow beat is out one cycle after its wide beat came in; a wide beat is out one cycle
//         after its last narrow beat
//   ready s_tready follows m_tready where the next beat replaces the one leaving
//   size  one register of the wider width
`default_nettype none
module qd_dwc #(
  parameter IN_WIDTH  = 8,
  parameter OUT_WIDTH = 32
) (
  input  wire                 clk,
  input  wire                 rst_n,
  input  wire [IN_WIDTH-1:0]  s_tdata,
  input  wire                 s_tvalid,
  output wire                 s_tready,
  output wire [OUT_WIDTH-1:0] m_tdata,
  output wire                 m_tvalid,
  input  wire                 m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (IN_WIDTH % OUT_WIDTH != 0 && OUT_WIDTH % IN_WIDTH != 0) begin : g_refused0
      one_width_does_not_divide_the_other refused ();
    end
  endgenerate

  localparam WIDE  = (IN_WIDTH > OUT_WIDTH) ? IN_WIDTH : OUT_WIDTH;
  localparam SMALL = (IN_WIDTH > OUT_WIDTH) ? OUT_WIDTH : IN_WIDTH;
  localparam RATIO = WIDE / SMALL;

  reg [WIDE-1:0] word;
  reg            full;  // up: all of `word` is there; down: some of it is left
  wire           take = s_tvalid & s_tready;
  wire           give = m_tvalid & m_tready;
  assign m_tvalid = full;

  generate
    if (RATIO == 1) begin : g_same
      assign s_tready = ~full | m_tready;
      assign m_tdata  = word;
      always @(posedge clk)
        if (!rst_n) full <= 1'b0;
        else        full <= take | (full & ~give);
      always @(posedge clk) if (take) word <= s_tdata;
    end else begin : g_convert
      wire last;  // the present narrow beat is the last of its word
      wire step = (IN_WIDTH < OUT_WIDTH) ? take : give;
      qd_cycle #(.N(RATIO)) position (.clk(clk), .rst_n(rst_n), .step(step), .last(last));
      if (IN_WIDTH < OUT_WIDTH) begin : g_up
        assign s_tready = ~full | m_tready;
        assign m_tdata  = word;
        always @(posedge clk)
          if (!rst_n) full <= 1'b0;
          else        full <= (take & last) | (full & ~give);
        always @(posedge clk) if (take) word <= {s_tdata, word[WIDE-1:SMALL]};
      end else begin : g_down
        assign s_tready = ~full | (last & m_tready);
        assign m_tdata  = word[SMALL-1:0];
        always @(posedge clk)
          if (!rst_n) full <= 1'b0;
          else        full <= take | (full & ~(give & last));
        // What is not valid may be loaded: `full` says so. That keeps the choice to two registers.
        always @(posedge clk)
          if (~full | m_tready)
            word <= (~full | last) ? s_tdata : {{SMALL{1'b0}}, word[WIDE-1:SMALL]};
      end
    end
  endgenerate
endmodule
`default_nettype wire
