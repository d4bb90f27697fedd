// Drives a Verilated model with AXI-Stream ports; the loop over clock cycles runs here.
//
// One cycle: clock low, inputs set, evaluate, look which ports shake hands, clock high, evaluate.
// An input holds valid until it is accepted; stalls are drawn per port from the seed, and an input
// may have a pace. Outputs and taps are checked against the AXI-Stream rule that valid, data and last
// stay until accepted.
//
// Parts of a model that stand side by side may be driven apart: stalls come in bursts then, and a
// part that breaks a rule or stands still does not end the run of the others.
#include "model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "verilated.h"

#define QD_API extern "C" __attribute__((visibility("default")))

// Verilator's hooks: a missing or short memory file, $fatal, $stop and $finish become an error.
void vl_fatal(const char*, int, const char*, const char* message) {
    throw std::runtime_error(message);
}
void vl_warn(const char* file, int, const char*, const char* message) {
    throw std::runtime_error(std::string(file) + ": " + message);
}
void vl_stop(const char* file, int line, const char*) {
    throw std::runtime_error(std::string("$stop in ") + file + ":" + std::to_string(line));
}
void vl_finish(const char* file, int line, const char*) {
    throw std::runtime_error(std::string("$finish in ") + file + ":" + std::to_string(line));
}
double sc_time_stamp() { return 0; }

namespace {

enum Status { DONE = 0, MORE = 1, IDLE = 2, FAULT = 3 };
constexpr int RESET_CYCLES = 16;
constexpr int64_t RESERVE = 1 << 20;  // beats to make room for in advance

struct Random {  // xorshift64*, one stream per port
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {
        if (!state) state = 1;
        for (int i = 0; i < 8; i++) next();
    }
    uint32_t next() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return static_cast<uint32_t>((state * 0x2545F4914F6CDD1Dull) >> 32);
    }
    bool below(uint64_t threshold) { return threshold && next() < threshold; }
};

struct Stall {  // when a port stalls: at random all the time, or now and then
    Random random{0};
    int64_t burst = 0, left = 0;
    int64_t stream = -1;  // of the seed's random numbers; by default ports have them in order
    bool stalling = false;

    // Phases that stall and phases that do not take turns, each of 1 to 2 * burst - 1 cycles.
    bool now(uint64_t threshold) {
        if (!burst) return random.below(threshold);
        if (left-- <= 0) {
            stalling = !stalling;
            left = random.next() % (2 * burst - 1);
        }
        return stalling && random.below(threshold);
    }
};

struct Input {
    QdPort port;
    size_t bytes = 0;
    std::vector<uint8_t> beats;
    int64_t count = 0, sent = 0, total = 0, position = 0;
    int64_t pace_cycles = 0, pace_beats = 1;  // beat i not before cycle i * cycles / beats
    bool valid = false;
    std::vector<int64_t> cycles;
    std::vector<int64_t> ends;  // beats up to the end of each packet; of all when empty
    struct After {
        int64_t beat;
        int input;
        int64_t count;
    };
    std::vector<After> afters;
    Stall stall;

    bool at_end() const {
        if (ends.empty()) return position + 1 == count;
        return std::binary_search(ends.begin(), ends.end(), position + 1);
    }

    // Exact for any length: both sides are products of integers, nothing is added up.
    bool due(int64_t cycle) const {
        return static_cast<__int128>(cycle) * pace_beats >=
               static_cast<__int128>(sent) * pace_cycles;
    }
};

struct Watch {  // an output or a tap
    QdPort port;
    size_t bytes = 0;
    int64_t expected = 0, seen = 0, held_until = 0;
    bool waiting = false, ready = true;
    uint8_t held_last = 0;
    std::vector<uint8_t> held, beats, lasts;
    std::vector<int64_t> cycles;
    Stall stall;
    std::string fault;  // the first rule it broke, driven apart
};

struct Probe {
    QdProbe port;
    uint64_t top = 0, now = 0;
};

size_t bytes_of(int bits) { return (bits + 7) / 8; }

class Driver {
public:
    explicit Driver(bool is_apart) : model(qd_bind()), apart(is_apart) {
        const bool cut = apart && model.cut_clock;
        cut_clock = cut ? model.cut_clock : nullptr;
        for (const QdPort& port : cut ? model.part_inputs : model.inputs) {
            inputs.emplace_back();
            inputs.back().port = port;
            inputs.back().bytes = bytes_of(port.bits);
        }
        add(cut ? model.part_outputs : model.outputs, outputs);
        if (!cut) {
            add(model.taps, taps);
            for (const QdProbe& probe : model.probes) probes.push_back(Probe{probe});
        }
        *model.clock = 0;
        *model.reset_n = 0;
        model.eval(model.self);  // runs the initial blocks: reads the memory files
    }
    ~Driver() { model.destroy(model.self); }

    void set_control(int index, uint64_t value) {
        const QdControl& control = model.controls[index];
        std::memcpy(control.value, &value, control.bytes);
    }

    void start(uint64_t seed, double stall_in, double stall_out, int64_t idle, int64_t drain) {
        idle_limit = idle;
        drain_cycles = drain;
        in_threshold = static_cast<uint64_t>(stall_in * 4294967296.0);
        out_threshold = static_cast<uint64_t>(stall_out * 4294967296.0);
        uint64_t stream = seed * 1024;
        const uint64_t first = stream;
        auto seeded = [&](Stall& stall) {
            ++stream;
            stall.random = Random(stall.stream < 0 ? stream : first + stall.stream);
        };
        for (Input& in : inputs) seeded(in.stall);
        for (Watch& out : outputs) seeded(out.stall);
        reset();
    }

    int run(int64_t limit) {
        for (int64_t i = 0; i < limit; i++) {
            if (finished) {
                if (drained++ >= drain_cycles) return DONE;
            } else if (cycle - last_handshake > idle_limit) {
                return IDLE;
            }
            if (!step()) return FAULT;
        }
        return MORE;
    }

    QdModel model;
    std::vector<Input> inputs;
    std::vector<Watch> outputs, taps;
    std::vector<Probe> probes;
    int64_t cycle = 0, end_cycle = 0;
    std::string fault;

private:
    static void add(const std::vector<QdPort>& ports, std::vector<Watch>& into) {
        for (const QdPort& port : ports) {
            into.emplace_back();
            into.back().port = port;
            into.back().bytes = bytes_of(port.bits);
            into.back().held.resize(into.back().bytes);
        }
    }

    void edge() {
        *model.clock = 1;
        if (cut_clock) *cut_clock = 0;
        model.eval(model.self);
    }

    void low() {
        *model.clock = 0;
        if (cut_clock) *cut_clock = 1;
        model.eval(model.self);
    }

    void reset() {
        *model.reset_n = 0;
        for (Input& in : inputs) {
            *in.port.valid = 0;
            std::memset(in.port.data, 0, in.bytes);
            if (in.port.last) *in.port.last = 0;
        }
        for (Watch& out : outputs) *out.port.ready = 0;
        for (int i = 0; i < RESET_CYCLES; i++) {
            low();
            edge();
        }
        *model.clock = 0;  // the cut clock stays low: the first cycle has an edge of its own
        model.eval(model.self);
        for (size_t i = 0; i < outputs.size(); i++)
            if (*outputs[i].port.valid)
                break_rule(outputs[i], "output", i, "valid is high in reset");
        *model.reset_n = 1;
    }

    // Whether other inputs have sent what comes before the next beat.
    bool follows(const Input& in) const {
        for (const Input::After& after : in.afters)
            if (in.sent >= after.beat && inputs[after.input].sent < after.count) return false;
        return true;
    }

    // Data without valid means nothing: show something else than the last beat.
    static void scramble(Input& in) {
        for (size_t i = 0; i < in.bytes; i++) in.port.data[i] ^= 0xFF;
        const int spare = in.port.bits % 8;
        if (spare) in.port.data[in.bytes - 1] &= (1 << spare) - 1;
    }

    void break_rule(Watch& watch, const char* kind, size_t index, const char* what) {
        if (apart) {
            if (watch.fault.empty()) watch.fault = what;
        } else if (fault.empty())
            fault = std::string(kind) + " " + std::to_string(index) + " " + what;
    }

    bool step() {
        for (Input& in : inputs) {
            if (!in.valid && in.sent < in.total && in.due(cycle) && follows(in) &&
                !in.stall.now(in_threshold)) {
                in.valid = true;
                std::memcpy(in.port.data, &in.beats[in.position * in.bytes], in.bytes);
                if (in.port.last) *in.port.last = in.at_end();
            }
            if (*in.port.valid && !in.valid) scramble(in);
            *in.port.valid = in.valid;
        }
        for (Watch& out : outputs)
            *out.port.ready = cycle >= out.held_until && !out.stall.now(out_threshold);
        low();

        bool moved = false, all = true;
        for (Input& in : inputs) {
            if (in.valid && *in.port.ready) {
                in.valid = false;
                in.sent++;
                if (++in.position == in.count) in.position = 0;
                in.cycles.push_back(cycle);
                moved = true;
            }
            all &= in.sent == in.total;
        }
        for (size_t i = 0; i < outputs.size(); i++) {
            Watch& out = outputs[i];
            moved |= observe(out, "output", i);
            all &= out.seen >= out.expected;
            if (out.seen > out.expected)
                break_rule(out, "output", i, "gave more beats than expected");
        }
        for (size_t i = 0; i < taps.size(); i++) moved |= observe(taps[i], "tap", i);
        for (Probe& probe : probes) {
            uint64_t value = 0;
            std::memcpy(&value, probe.port.value, probe.port.bytes);
            probe.now = value;
            probe.top = std::max(probe.top, value);
        }
        if (moved) last_handshake = cycle;
        edge();
        cycle++;
        if (all && !finished) {
            finished = true;
            end_cycle = cycle;
        }
        return fault.empty();
    }

    bool observe(Watch& watch, const char* kind, size_t index) {
        const QdPort& port = watch.port;
        const bool valid = *port.valid, ready = *port.ready;
        const uint8_t last = port.last ? *port.last : 0;
        if (watch.waiting) {
            if (!valid)
                break_rule(watch, kind, index, "took valid back before the beat was accepted");
            else if (std::memcmp(watch.held.data(), port.data, watch.bytes) != 0)
                break_rule(watch, kind, index, "changed data before the beat was accepted");
            else if (last != watch.held_last)
                break_rule(watch, kind, index, "changed last before the beat was accepted");
        }
        watch.waiting = valid && !ready;
        if (watch.waiting) {
            std::memcpy(watch.held.data(), port.data, watch.bytes);
            watch.held_last = last;
        }
        if (!(valid && ready)) return false;
        watch.seen++;
        if (apart && watch.seen > watch.expected) return true;  // there may be no end of it
        watch.beats.insert(watch.beats.end(), port.data, port.data + watch.bytes);
        watch.cycles.push_back(cycle);
        if (port.last) watch.lasts.push_back(last);
        return true;
    }

    const bool apart;
    uint8_t* cut_clock;
    uint64_t in_threshold = 0, out_threshold = 0;
    int64_t idle_limit = 0, drain_cycles = 0, drained = 0, last_handshake = 0;
    bool finished = false;
};

std::string failure;
std::mutex folder_mutex;

// $readmemh resolves names against the working directory when the model is first evaluated.
class InFolder {
public:
    explicit InFolder(const char* folder) : lock(folder_mutex) {
        before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (before < 0 || chdir(folder) != 0)
            throw std::runtime_error(std::string("cannot enter ") + folder);
    }
    ~InFolder() {
        if (before >= 0) {
            if (fchdir(before) != 0) failure = "cannot return to the working directory";
            close(before);
        }
    }

private:
    std::lock_guard<std::mutex> lock;
    int before = -1;
};

Driver& driver(void* handle) { return *static_cast<Driver*>(handle); }
Watch& watched(void* handle, int kind, int index) {
    return kind == 1 ? driver(handle).outputs[index] : driver(handle).taps[index];
}

}  // namespace

// Null on failure; qd_failure() then has the reason.
// apart: drive the parts of the model, each by itself.
QD_API void* qd_new(const char* folder, int apart) {
    failure.clear();
    try {
        InFolder here(folder);
        return new Driver(apart != 0);
    } catch (const std::exception& error) {
        failure = error.what();
        return nullptr;
    }
}
QD_API const char* qd_failure() { return failure.c_str(); }
QD_API void qd_delete(void* handle) { delete &driver(handle); }

QD_API void qd_set_input(void* h, int index, const uint8_t* beats, int64_t count, int64_t repeats) {
    Input& in = driver(h).inputs[index];
    in.beats.assign(beats, beats + count * static_cast<int64_t>(in.bytes));
    in.count = count;
    in.total = count * repeats;
    in.cycles.reserve(std::min(in.total, RESERVE));
}
// Beat i of the input is not offered before cycle i * cycles / beats, the first cycle being 0.
QD_API void qd_pace(void* h, int index, int64_t cycles, int64_t beats) {
    Input& in = driver(h).inputs[index];
    in.pace_cycles = cycles;
    in.pace_beats = beats;
}
// The next packet of an input with TLAST has so many beats.
QD_API void qd_packet(void* h, int index, int64_t beats) {
    std::vector<int64_t>& ends = driver(h).inputs[index].ends;
    ends.push_back((ends.empty() ? 0 : ends.back()) + beats);
}
// From this beat on the input waits until the other one has sent so many.
QD_API void qd_after(void* h, int index, int64_t beat, int other, int64_t count) {
    driver(h).inputs[index].afters.push_back({beat, other, count});
}
// Ports stall in bursts of this many cycles on average, instead of all the time.
QD_API void qd_burst(void* h, int64_t cycles) {
    for (Input& in : driver(h).inputs) in.stall.burst = cycles;
    for (Watch& out : driver(h).outputs) out.stall.burst = cycles;
}
// Which of the seed's random numbers a port stalls by; kind: 0 input, 1 output.
QD_API void qd_stream(void* h, int kind, int index, int64_t stream) {
    Driver& d = driver(h);
    (kind == 0 ? d.inputs[index].stall : d.outputs[index].stall).stream = stream;
}
// The output is not ready before this cycle.
QD_API void qd_hold(void* h, int index, int64_t cycle) { driver(h).outputs[index].held_until = cycle; }
// Before qd_start: an input port of the model that keeps one value through the run.
QD_API void qd_set_control(void* h, int index, uint64_t value) { driver(h).set_control(index, value); }
QD_API void qd_expect(void* h, int index, int64_t beats) {
    Watch& out = driver(h).outputs[index];
    out.expected = beats;
    out.beats.reserve(std::min(beats, RESERVE) * out.bytes);
    out.cycles.reserve(std::min(beats, RESERVE));
}
QD_API void qd_start(void* h, uint64_t seed, double stall_in, double stall_out, int64_t idle_limit,
                     int64_t drain) {
    driver(h).start(seed, stall_in, stall_out, idle_limit, drain);
}
// At most `limit` cycles; 0 done, 1 more to do, 2 idle too long, 3 fault (qd_fault says which).
QD_API int qd_run(void* h, int64_t limit) {
    Driver& d = driver(h);
    try {
        return d.run(limit);
    } catch (const std::exception& error) {
        d.fault = error.what();
        return FAULT;
    }
}
QD_API const char* qd_fault(void* h) { return driver(h).fault.c_str(); }
// The first rule that an output broke, driven apart; empty when none.
QD_API const char* qd_output_fault(void* h, int index) { return driver(h).outputs[index].fault.c_str(); }
QD_API int64_t qd_cycle(void* h) { return driver(h).cycle; }
QD_API int64_t qd_end_cycle(void* h) { return driver(h).end_cycle; }

// kind: 0 input, 1 output, 2 tap.
QD_API int64_t qd_seen(void* h, int kind, int index) {
    return kind == 0 ? driver(h).inputs[index].sent : watched(h, kind, index).seen;
}
QD_API const int64_t* qd_cycles(void* h, int kind, int index) {
    return kind == 0 ? driver(h).inputs[index].cycles.data() : watched(h, kind, index).cycles.data();
}
QD_API const uint8_t* qd_beats(void* h, int kind, int index) {
    return watched(h, kind, index).beats.data();
}
QD_API const uint8_t* qd_lasts(void* h, int index) { return driver(h).outputs[index].lasts.data(); }
QD_API uint64_t qd_probe(void* h, int index, int want_top) {
    const Probe& probe = driver(h).probes[index];
    return want_top ? probe.top : probe.now;
}
