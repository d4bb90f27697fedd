"""The C++ that tells the driver where a model's signals are, generated from what Verilator made."""

from __future__ import annotations

import re

from qdeploy.errors import InternalError
from qdeploy.sim.spec import Port, SimSpec

# Verilator declares each port as VL_IN8(&name,msb,lsb) and the like.
_PORT = re.compile(r"\bVL_(IN|OUT)\w*\(&(\w+),(\d+),(\d+)(?:,\d+)?\)")


def bind_source(spec: SimSpec, header: str) -> str:
    """Text of bind.cpp.

    Args:
        header: Verilator's Vdut.h.

    Raises:
        InternalError: a port of the spec is not one of the module, or has another width or
            direction.
    """
    found = {
        name: (direction, int(msb) - int(lsb) + 1)
        for direction, name, msb, lsb in _PORT.findall(header)
    }

    def at(signal: str, direction: str, bits: int = 1) -> str:
        name = signal.replace("__", "___05F")  # Verilator's escape
        if name not in found:
            known = ", ".join(sorted(found))
            raise InternalError(f"module `{spec.top}` has no port `{signal}`", where=known)
        if found[name] != (direction, bits):
            is_direction, is_bits = found[name]
            raise InternalError(
                f"port `{signal}` of module `{spec.top}` is {is_direction} of {is_bits} bits, "
                f"not {direction} of {bits} bits"
            )
        return f"at(h->dut.{name})"

    def port(stream: Port, valid: str, ready: str) -> str:
        last = at(stream.signal("tlast"), valid) if stream.last else "nullptr"
        data = at(stream.signal("tdata"), valid, stream.bits)
        handshake = f"{at(stream.signal('tvalid'), valid)}, {at(stream.signal('tready'), ready)}"
        return f"{{{data}, {handshake}, {last}, {stream.bits}}}"

    def listed(items: list[str]) -> str:
        return "{" + ",\n        ".join(items) + "}"

    probes = [
        f"{{{at(name, 'OUT', bits)}, {_container_bytes(bits)}}}" for name, bits in spec.probes
    ]
    controls = [
        f"{{{at(name, 'IN', bits)}, {_container_bytes(bits)}}}" for name, bits in spec.controls
    ]
    cut_clock = at(spec.cut_clock, "IN") if spec.cut_clock else "nullptr"
    return f"""\
#include "model.h"
#include "Vdut.h"
#include "verilated.h"

namespace {{
struct Holder {{
    VerilatedContext context;
    Vdut dut{{&context}};
}};
template <class T>
uint8_t* at(T& signal) {{
    return reinterpret_cast<uint8_t*>(&signal);
}}
void eval(void* self) {{ static_cast<Holder*>(self)->dut.eval(); }}
void destroy(void* self) {{ delete static_cast<Holder*>(self); }}
}}  // namespace

QdModel qd_bind() {{
    Holder* h = new Holder;
    return QdModel{{
        h,
        {at(spec.clock, "IN")},
        {at(spec.reset, "IN")},
        eval,
        destroy,
        {listed([port(p, "IN", "OUT") for p in spec.inputs])},
        {listed([port(p, "OUT", "IN") for p in spec.outputs])},
        {listed([port(p, "OUT", "OUT") for p in spec.taps])},
        {listed(probes)},
        {listed(controls)},
        {cut_clock},
        {listed([port(p, "IN", "OUT") for p in spec.part_inputs])},
        {listed([port(p, "OUT", "IN") for p in spec.part_outputs])},
    }};
}}
"""


def _container_bytes(bits: int) -> int:
    if bits > 64:
        raise InternalError(
            f"a probe or control input of {bits} bits", why="they have at most 64 bits"
        )
    return next(size for size in (1, 2, 4, 8) if bits <= 8 * size)
