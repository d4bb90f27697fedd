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
`ifdef QD_LOADABLE
//   0x20    CONFIG    w       four bytes of an image of weights, the lowest first
//   0x24    CONFIG_BYTE w     one byte of it, bits 7 to 0; bit 8: it is the last one
//   0x28    CONFIG_CRC r      CRC-32 of the last image
//   0x2C    CONFIG_STATE r    bit 0: the last image had the right length; bit 1: it had not, or was cut
//                             off by a reset; bit 2: an image was written since the bitstream was
//                             loaded; bit 3: the core takes one, or waits for frames to leave;
//                             bit 4: bytes wait in the shell; bit 5: bytes got lost, written while
//                             others waited
//
//   A reset of the core ends an image; CONFIG_CRC and CONFIG_STATE stay. A write of CONFIG waits for
//   the bytes before it where the core takes them, and is lost where it does not.
`endif
//
//   range   4 KiB, as no AXI burst crosses a boundary of 4 KiB and tools give a slave no less; an
//           offset without a register reads 0 and ignores writes
//   timing  a write is taken when address and data are both there (in any order), a read takes one
//           cycle; one transaction of each kind at a time. WSTRB is ignored: write whole words.
//   reset   synchronous, active low
module qd_shell_regs #(
    parameter [31:0] DESIGN = 32'd0
) (
`ifdef QD_LOADABLE
    // to and from the core's configuration stream
    output wire [ 7:0] config_tdata,
    output wire        config_tvalid,
    input  wire        config_tready,
    output wire        config_tlast,
    input  wire [31:0] config_crc,
    input  wire [ 7:0] config_state,
`endif
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
`ifdef QD_LOADABLE
    wire to_word = s_axil_awaddr[11:2] == 10'd8;
    wire to_byte = s_axil_awaddr[11:2] == 10'd9;
    wire taken;  // the bytes written before are, or will not be
    wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid
        && (taken || !(to_word || to_byte));
`else
    wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid;
`endif
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
`ifdef QD_LOADABLE
                10'd10: s_axil_rdata <= image_crc;
                10'd11: s_axil_rdata <= {26'd0, lost, waiting, config_state[0], image};
`endif
                default: s_axil_rdata <= 32'd0;
            endcase
        end
    end

`ifdef QD_LOADABLE
    // An image of weights: up to four bytes, the lowest goes first.
    reg [31:0] bytes;
    reg [ 2:0] left_bytes;
    reg        ends;
    reg        lost;
    reg [ 2:0] image;
    reg [31:0] image_crc;
    reg        was_busy;
    wire       waiting   = left_bytes != 3'd0;
    wire       byte_goes = config_tvalid && config_tready;
    assign config_tdata  = bytes[7:0];
    assign config_tvalid = waiting && core_rst_n;
    assign config_tlast  = ends && left_bytes == 3'd1;
    assign taken         = !waiting || !config_tready;

    always @(posedge clk) begin
        if (!rst_n || write_reset) begin
            left_bytes <= 3'd0;
            lost       <= 1'b0;
            was_busy   <= 1'b0;
        end else begin
            if (write && (to_word || to_byte) && !waiting) begin
                bytes      <= s_axil_wdata;
                left_bytes <= to_word ? 3'd4 : 3'd1;
                ends       <= to_byte && s_axil_wdata[8];
            end else if (byte_goes) begin
                bytes      <= {8'd0, bytes[31:8]};
                left_bytes <= left_bytes - 3'd1;
            end
            if (write && (to_word || to_byte) && waiting) lost <= 1'b1;
            was_busy <= config_state[0];
        end
    end
    always @(posedge clk) begin
        if (!rst_n) image <= 3'b000;
        else if (byte_goes) image <= 3'b110;
        else if (was_busy && !config_state[0]) image <= {image[2], config_state[2:1]};
        if (was_busy && !config_state[0]) image_crc <= config_crc;
    end
    wire unused_state = &{1'b0, config_state[7:3]};
`endif

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
