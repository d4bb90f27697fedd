// A board for the driver's tests: the Verilated shell and core, a processor that reads and writes
// registers over AXI4-Lite, and a simple-mode AXI DMA with random pauses on both of its streams.
#include <cstdint>
#include <cstring>

#include "Vqd_shell.h"
#include "verilated.h"

namespace {
constexpr int kPatience = 10000;  // cycles a register access may take

struct Board {
  VerilatedContext context;
  Vqd_shell top{&context};
  uint64_t random = 1;

  void settle() { top.eval(); }
  void edge() {
    top.aclk = 1;
    top.eval();
    top.aclk = 0;
    top.eval();
  }
  // True in `percent` of all calls.
  bool pause(int percent) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<int>((random >> 33) % 100) < percent;
  }
};
}  // namespace

extern "C" {

void* board_new() {
  auto* board = new Board;
  board->top.aresetn = 0;
  for (int cycle = 0; cycle < 8; ++cycle) board->edge();
  board->top.aresetn = 1;
  board->edge();
  return board;
}

void board_free(void* handle) { delete static_cast<Board*>(handle); }

// Address and data come in different cycles: `skew` < 0 address first, > 0 data first.
int board_write(void* handle, uint32_t address, uint32_t data, int skew) {
  auto* board = static_cast<Board*>(handle);
  auto& top = board->top;
  bool address_done = false, data_done = false;
  int cycle = 0;
  top.s_axil_bready = 1;
  top.s_axil_awaddr = address & 63;
  top.s_axil_wdata = data;
  top.s_axil_wstrb = 15;
  for (; cycle < kPatience && !(address_done && data_done); ++cycle) {
    top.s_axil_awvalid = !address_done && cycle >= (skew > 0 ? skew : 0);
    top.s_axil_wvalid = !data_done && cycle >= (skew < 0 ? -skew : 0);
    board->settle();
    const bool address_goes = top.s_axil_awvalid && top.s_axil_awready;
    const bool data_goes = top.s_axil_wvalid && top.s_axil_wready;
    board->edge();
    address_done = address_done || address_goes;
    data_done = data_done || data_goes;
  }
  top.s_axil_awvalid = 0;
  top.s_axil_wvalid = 0;
  for (; cycle < kPatience; ++cycle) {
    board->settle();
    const bool answered = top.s_axil_bvalid;
    board->edge();
    if (answered) break;
  }
  return cycle < kPatience ? 0 : -1;
}

int board_read(void* handle, uint32_t address, uint32_t* data) {
  auto* board = static_cast<Board*>(handle);
  auto& top = board->top;
  int cycle = 0;
  top.s_axil_araddr = address & 63;
  top.s_axil_arvalid = 1;
  top.s_axil_rready = 1;
  for (; cycle < kPatience; ++cycle) {
    board->settle();
    const bool taken = top.s_axil_arready;
    board->edge();
    if (taken) break;
  }
  top.s_axil_arvalid = 0;
  for (; cycle < kPatience; ++cycle) {
    board->settle();
    const bool there = top.s_axil_rvalid;
    *data = top.s_axil_rdata;
    board->edge();
    if (there) break;
  }
  return cycle < kPatience ? 0 : -1;
}

// Both DMA channels at once. The receiver ends at TLAST. Bytes received; -1 when `limit` cycles were
// not enough, -2 when the receiver's buffer was full before TLAST came, as a DMA reports an error.
int64_t board_transfer(void* handle, const uint8_t* in, int64_t in_bytes, uint8_t* out,
                       int64_t out_bytes, int pauses, uint64_t seed, int64_t limit) {
  auto* board = static_cast<Board*>(handle);
  auto& top = board->top;
  board->random = seed * 2 + 1;
  int64_t sent = 0, received = 0;
  bool offered = false, last = false;
  for (int64_t cycle = 0; cycle < limit; ++cycle) {
    // A sender that has shown a beat keeps showing it.
    offered = sent < in_bytes && (offered || !board->pause(pauses));
    top.s_axis_tvalid = offered;
    if (offered) std::memcpy(&top.s_axis_tdata, in + sent, IN_BYTES);
    top.m_axis_tready = !last && !board->pause(pauses);
    board->settle();
    const bool goes = offered && top.s_axis_tready;
    if (top.m_axis_tready && top.m_axis_tvalid) {
      if (received + OUT_BYTES > out_bytes) return -2;
      std::memcpy(out + received, &top.m_axis_tdata, OUT_BYTES);
      received += OUT_BYTES;
      last = top.m_axis_tlast;
    }
    board->edge();
    if (goes) {
      sent += IN_BYTES;
      offered = false;
    }
    if (last && sent == in_bytes) break;
  }
  top.s_axis_tvalid = 0;
  top.m_axis_tready = 0;
  board->settle();
  return last && sent == in_bytes ? received : -1;
}

}  // extern "C"
