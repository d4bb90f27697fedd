// What the driver (driver.cpp) knows of a Verilated model: where its signals are.
//
// Every field points into the model. Verilator keeps a signal of up to 64 bits in an unsigned
// integer and a wider one in an array of 32-bit words, little end first: on a little-endian machine
// both are plain bytes, element 0 in byte 0, so one description serves every width.
#pragma once
#include <cstdint>
#include <vector>

struct QdPort {
    uint8_t* data;
    uint8_t* valid;
    uint8_t* ready;
    uint8_t* last;  // null where the port has none
    int bits;
};

struct QdProbe {
    const uint8_t* value;
    int bytes;
};

struct QdControl {
    uint8_t* value;
    int bytes;
};

struct QdModel {
    void* self;
    uint8_t* clock;
    uint8_t* reset_n;
    void (*eval)(void* self);
    void (*destroy)(void* self);
    std::vector<QdPort> inputs, outputs, taps;
    std::vector<QdProbe> probes;
    std::vector<QdControl> controls;
    // Ports of parts that can be driven apart from each other, and the clock whose edge cuts them
    // loose and then takes what is set at the ports; null where the ports are `inputs`, `outputs`.
    uint8_t* cut_clock;
    std::vector<QdPort> part_inputs, part_outputs;
};

// Defined by the generated bind.cpp of each model.
QdModel qd_bind();
