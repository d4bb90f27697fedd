// Registers of the shell, on AXI4-Lite.
//
//   offset  name      access  meaning
//   0x00    ID        r       0x51444550: this is a qdeploy shell
//   0x04    VERSION   r       version of this register map
//   0x08    DESIGN    r       which design: the first 32 bits of the hash over its RTL
//   0x0C    FRAMES    r/w     frames in a batch; writing it starts a new batch: clears CYCLES, DONE
//                             and the error bit. 0 is taken as 1
//   0x10    CONTROL   w       bit 0: reset the core for 64 cycles and forget the batch
//   0x14    CYCLES    r       clock cycles from the batch's first input beat to its last output beat,
//                             stops at 2^32 - 1
//   0x18    DONE      r       frames of the batch that have left
//   0x1C    STATUS    r       bit 0: core in reset; bit 1: batch running; bit 2: error, a beat left
//                             after the batch's last frame
//
//   range   4 KiB, as no AXI burst crosses a boundary of 4 KiB and tools give a slave no less; an
//           offset without a register reads 0 and ignores writes
//   timing  a write is taken when address and data are both there (in any order), a read takes one
//           cycle; one transaction of each kind at a time. WSTRB is ignored: write whole words.
//   reset   synchronous, active low
module qd_shell_regs #(
    parameter [31:0] DESIGN = 32'd0
) (
    input  wire        clk,
    input  wire        rst_n,
    // AXI4-Lite slave
    input  wire [11:0] s_axil_awaddr,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [31:0] s_axil_wdata,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    output wire [ 1:0] s_axil_bresp,
    output reg         s_axil_bvalid,
    input  wire        s_axil_bready,
    input  wire [11:0] s_axil_araddr,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    output reg  [31:0] s_axil_rdata,
    output wire [ 1:0] s_axil_rresp,
    output reg         s_axil_rvalid,
    input  wire        s_axil_rready,
    // to and from the streams
    input  wire        in_beat,      // an input beat is taken in this cycle
    input  wire        out_beat,     // an output beat leaves in this cycle
    input  wire        frame_end,    // the core marks this output beat as its frame's last
    output wire        batch_end,    // this output beat, if it ends a frame, ends the batch
    output reg         core_rst_n    // the core's reset
);
    localparam [31:0] ID      = 32'h51444550;
    localparam [31:0] VERSION = 32'd1;

    reg [31:0] frames;
    reg [31:0] cycles;
    reg [31:0] left;  // frames of the batch that have not left yet
    reg        running;
    reg        error;
    reg [ 6:0] resetting;

    assign batch_end = left == 32'd1;

    // Writes: both channels wait for each other, then for the answer to be taken.
    wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid;
    assign s_axil_awready = write;
    assign s_axil_wready  = write;
    assign s_axil_bresp   = 2'b00;

    wire write_frames = write && s_axil_awaddr[11:2] == 10'd3;
    wire write_reset  = write && s_axil_awaddr[11:2] == 10'd4 && s_axil_wdata[0];

    always @(posedge clk) begin
        if (!rst_n) s_axil_bvalid <= 1'b0;
        else if (write) s_axil_bvalid <= 1'b1;
        else if (s_axil_bready) s_axil_bvalid <= 1'b0;
    end

    // Reads.
    wire read = s_axil_arvalid && !s_axil_rvalid;
    assign s_axil_arready = read;
    assign s_axil_rresp   = 2'b00;

    always @(posedge clk) begin
        if (!rst_n) s_axil_rvalid <= 1'b0;
        else if (read) s_axil_rvalid <= 1'b1;
        else if (s_axil_rready) s_axil_rvalid <= 1'b0;
    end

    always @(posedge clk) begin
        if (read) begin
            case (s_axil_araddr[11:2])
                10'd0: s_axil_rdata <= ID;
                10'd1: s_axil_rdata <= VERSION;
                10'd2: s_axil_rdata <= DESIGN;
                10'd3: s_axil_rdata <= frames;
                10'd5: s_axil_rdata <= cycles;
                10'd6: s_axil_rdata <= frames - left;
                10'd7: s_axil_rdata <= {29'd0, error, running, !core_rst_n};
                default: s_axil_rdata <= 32'd0;
            endcase
        end
    end

    // The core's reset: 64 cycles after the shell's own, and on command.
    always @(posedge clk) begin
        if (!rst_n || write_reset) resetting <= 7'd64;
        else if (resetting != 7'd0) resetting <= resetting - 7'd1;
        core_rst_n <= rst_n && resetting == 7'd0;
    end

    // The batch. A new number of frames counts from the next cycle on; write it while nothing moves.
    wire [31:0] new_frames = (s_axil_wdata == 32'd0) ? 32'd1 : s_axil_wdata;
    wire        open       = left != 32'd0;
    wire        start      = in_beat && open;

    always @(posedge clk) begin
        if (!rst_n) begin
            frames  <= 32'd1;
            left    <= 32'd1;
            cycles  <= 32'd0;
            running <= 1'b0;
            error   <= 1'b0;
        end else if (write_frames || write_reset) begin
            if (write_frames) frames <= new_frames;
            left    <= write_frames ? new_frames : frames;
            cycles  <= 32'd0;
            running <= 1'b0;
            error   <= 1'b0;
        end else begin
            if (out_beat && frame_end && open) left <= left - 32'd1;
            if (out_beat && !open) error <= 1'b1;
            if (out_beat && frame_end && batch_end) running <= 1'b0;
            else if (start) running <= 1'b1;
            // The first input beat's own cycle counts.
            if ((running || start) && cycles != 32'hFFFFFFFF) cycles <= cycles + 32'd1;
        end
    end

    // Bits the register map does not use.
    wire unused = &{1'b0, s_axil_awaddr[1:0], s_axil_araddr[1:0]};
endmodule
