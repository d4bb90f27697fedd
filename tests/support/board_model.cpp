// A board for the driver's tests: the Verilated shell and core, a processor that reads and writes
// registers, and an AXI DMA in Direct Register Mode as PG021 describes it, cycle by cycle.
//
// Of the manual, what the driver depends on:
//   DMACR.RS = 0     "stops when current (if any) DMA operations are complete": a channel that waits
//                    for its stream does not halt
//   DMACR.Reset = 1  in either channel resets the whole engine; clears itself after some cycles
//   DMASR.Idle       0 while halted and before the first transfer
//   errors           set RS to 0 and halt; stay until the reset, and RS stays 0 until then
//   LENGTH           starts a transfer, nothing while halted; S2MM's reads as bytes written at its end
//   DMAIntErr        S2MM: the packet is longer than LENGTH
// S2MM takes a few beats before it is armed and keeps them, as the real one does: a reset drops them.
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>

#include "Vdut.h"
#include "verilated.h"

namespace {
constexpr int kPatience = 10000;  // cycles a register access may take
constexpr size_t kTaken = 4;      // beats S2MM takes before it is armed
constexpr int kResetCycles = 40;
constexpr uint32_t kHalted = 1, kIdle = 2, kInternal = 1 << 4, kDecode = 1 << 6;

struct Channel {
  bool run = false, halted = true, busy = false, moved = false;
  uint32_t errors = 0, address = 0, length = 0, done = 0, target = 0;
  uint32_t fault = 0;      // error bits to raise …
  uint32_t fault_at = 0;   // … once so many bytes have moved
  uint32_t status() const {
    return (halted ? kHalted : 0) | (!halted && moved && !busy ? kIdle : 0) | errors;
  }
  void fail(uint32_t bits) {
    errors |= bits;
    run = busy = false;
    halted = true;
  }
  void reset() {
    const auto f = fault, at = fault_at;
    *this = Channel{};
    fault = f, fault_at = at;
  }
};

struct Beat {
  uint8_t data[OUT_BYTES];
  bool last;
};

struct Board {
  VerilatedContext context;
  Vdut top{&context};
  Channel send, receive;
  std::deque<Beat> taken;
  std::map<uint32_t, std::pair<uint8_t*, uint32_t>> memory;  // address -> place, size
  uint64_t random = 1;
  int pauses = 30;       // percent
  int resetting = 0;     // cycles of the DMA's reset left; negative: never ends
  bool never_resets = false, stall_send = false, scatter_gather = false;
  uint32_t drop = 0;     // bytes at the end of each packet sent that get lost
  uint32_t early = 0;    // a TLAST that comes after so many bytes received
  bool offered = false;
  uint8_t beat[IN_BYTES] = {};

  // True in `percent` of all calls.
  bool pause(int percent) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<int>((random >> 33) % 100) < percent;
  }
  uint8_t* at(uint32_t address, uint32_t size) {
    auto found = memory.upper_bound(address);
    if (found == memory.begin()) return nullptr;
    --found;
    const auto [place, length] = found->second;
    const uint32_t offset = address - found->first;
    return offset + size <= length ? place + offset : nullptr;
  }

  void drive() {
    Channel& channel = send;
    if (!offered && channel.busy && !stall_send && !pause(pauses)) {
      const uint32_t end = channel.target - drop;
      if (channel.fault && channel.done >= channel.fault_at) {
        channel.fail(channel.fault);
        channel.fault = 0;
      } else if (channel.done < end) {
        const uint8_t* from = at(channel.address + channel.done, IN_BYTES);
        if (from == nullptr) {
          channel.fail(kDecode);
        } else {
          std::memcpy(beat, from, IN_BYTES);
          offered = true;
        }
      } else {
        channel.busy = false;
      }
    }
    top.s_axis_tvalid = offered;
    if (offered) std::memcpy(&top.s_axis_tdata, beat, IN_BYTES);
    top.m_axis_tready = taken.size() < kTaken && !pause(pauses);
  }

  void write_memory() {
    Channel& channel = receive;
    if (!channel.busy || taken.empty()) return;
    if (channel.fault && channel.done >= channel.fault_at) {
      channel.fail(channel.fault);
      channel.fault = 0;
      return;
    }
    const Beat beat_in = taken.front();
    if (channel.done + OUT_BYTES > channel.target) return channel.fail(kInternal);
    uint8_t* to = at(channel.address + channel.done, OUT_BYTES);
    if (to == nullptr) return channel.fail(kDecode);
    taken.pop_front();
    std::memcpy(to, beat_in.data, OUT_BYTES);
    channel.done += OUT_BYTES;
    if (beat_in.last || (early && channel.done >= early)) {
      channel.length = channel.done;
      channel.busy = false;
    }
  }

  void reset_dma() {
    send.reset();
    receive.reset();
    taken.clear();
    offered = false;
  }

  void edge() {
    top.aclk = 1;
    top.eval();
    top.aclk = 0;
    top.eval();
  }

  void tick() {
    const bool quiet = resetting != 0;
    if (quiet) {
      top.s_axis_tvalid = 0;
      top.m_axis_tready = 0;
    } else {
      drive();
    }
    top.eval();
    if (!quiet) {
      if (offered && top.s_axis_tready) {
        offered = false;
        send.done += IN_BYTES;
        if (send.done >= send.target - drop) send.busy = false;
      }
      if (top.m_axis_tready && top.m_axis_tvalid) {
        Beat beat_in;
        std::memcpy(beat_in.data, &top.m_axis_tdata, OUT_BYTES);
        beat_in.last = top.m_axis_tlast;
        taken.push_back(beat_in);
      }
      write_memory();
    }
    edge();
    if (resetting > 0 && --resetting == 0) reset_dma();
    for (Channel* channel : {&send, &receive})
      if (!channel->run && !channel->busy) channel->halted = true;
  }

  void control(Channel& channel, uint32_t value) {
    if (value & 4) {
      resetting = never_resets ? -1 : kResetCycles;
      return;
    }
    if (resetting) return;
    channel.run = (value & 1) && !channel.errors;
    if (channel.run) channel.halted = false;
  }

  void start(Channel& channel, uint32_t length) {
    if (resetting || channel.halted || channel.busy || length == 0) return;
    channel.length = channel.target = length;
    channel.done = 0;
    channel.busy = channel.moved = true;
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

void board_run(void* handle, int cycles) {
  for (int cycle = 0; cycle < cycles; ++cycle) static_cast<Board*>(handle)->tick();
}

void board_set(void* handle, int pauses, uint64_t seed, int never_resets, int stall_send,
               uint32_t drop, uint32_t early, int scatter_gather) {
  auto* board = static_cast<Board*>(handle);
  board->pauses = pauses;
  if (seed) board->random = seed * 2 + 1;
  board->never_resets = never_resets;
  if (!never_resets && board->resetting < 0) board->resetting = kResetCycles;
  board->stall_send = stall_send;
  board->drop = drop;
  board->early = early;
  board->scatter_gather = scatter_gather;
}

// The next transfer of a channel raises these bits once so many bytes have moved.
void board_fault(void* handle, int receive, uint32_t bits, uint32_t after) {
  auto* board = static_cast<Board*>(handle);
  Channel& channel = receive ? board->receive : board->send;
  channel.fault = bits, channel.fault_at = after;
}

void board_map(void* handle, uint32_t address, uint8_t* place, uint32_t size) {
  static_cast<Board*>(handle)->memory[address] = {place, size};
}

void board_unmap(void* handle, uint32_t address) {
  static_cast<Board*>(handle)->memory.erase(address);
}

// Whether a channel moves data, by its number.
int board_busy(void* handle, int receive) {
  auto* board = static_cast<Board*>(handle);
  return (receive ? board->receive : board->send).busy;
}

uint32_t board_dma_read(void* handle, uint32_t offset) {
  auto* board = static_cast<Board*>(handle);
  const Channel& channel = offset >= 0x30 ? board->receive : board->send;
  switch (offset % 0x30) {
    case 0x00: return (channel.run ? 1 : 0) | (board->resetting ? 4 : 0) | 0x10000;
    case 0x04: return channel.status() | (board->scatter_gather ? 8 : 0);
    case 0x18: return channel.address;
    case 0x28: return channel.length;
    default: return 0;
  }
}

void board_dma_write(void* handle, uint32_t offset, uint32_t value) {
  auto* board = static_cast<Board*>(handle);
  Channel& channel = offset >= 0x30 ? board->receive : board->send;
  switch (offset % 0x30) {
    case 0x00: return board->control(channel, value);
    case 0x18: if (!channel.busy) channel.address = value; return;
    case 0x28: return board->start(channel, value);
    default: return;
  }
}

// Address and data come in different cycles: `skew` < 0 address first, > 0 data first.
int board_write(void* handle, uint32_t address, uint32_t data, int skew) {
  auto* board = static_cast<Board*>(handle);
  auto& top = board->top;
  bool address_done = false, data_done = false;
  int cycle = 0;
  top.s_axil_bready = 1;
  top.s_axil_awaddr = address & ADDRESS_MASK;
  top.s_axil_wdata = data;
  top.s_axil_wstrb = 15;
  for (; cycle < kPatience && !(address_done && data_done); ++cycle) {
    top.s_axil_awvalid = !address_done && cycle >= (skew > 0 ? skew : 0);
    top.s_axil_wvalid = !data_done && cycle >= (skew < 0 ? -skew : 0);
    top.eval();
    const bool address_goes = top.s_axil_awvalid && top.s_axil_awready;
    const bool data_goes = top.s_axil_wvalid && top.s_axil_wready;
    board->tick();
    address_done = address_done || address_goes;
    data_done = data_done || data_goes;
  }
  top.s_axil_awvalid = 0;
  top.s_axil_wvalid = 0;
  for (; cycle < kPatience; ++cycle) {
    top.eval();
    const bool answered = top.s_axil_bvalid;
    board->tick();
    if (answered) break;
  }
  return cycle < kPatience ? 0 : -1;
}

int board_read(void* handle, uint32_t address, uint32_t* data) {
  auto* board = static_cast<Board*>(handle);
  auto& top = board->top;
  int cycle = 0;
  top.s_axil_araddr = address & ADDRESS_MASK;
  top.s_axil_arvalid = 1;
  top.s_axil_rready = 1;
  for (; cycle < kPatience; ++cycle) {
    top.eval();
    const bool taken = top.s_axil_arready;
    board->tick();
    if (taken) break;
  }
  top.s_axil_arvalid = 0;
  for (; cycle < kPatience; ++cycle) {
    top.eval();
    const bool there = top.s_axil_rvalid;
    *data = top.s_axil_rdata;
    board->tick();
    if (there) break;
  }
  return cycle < kPatience ? 0 : -1;
}

}  // extern "C"
