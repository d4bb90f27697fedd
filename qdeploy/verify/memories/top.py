"""The top of a design read back: its instances and wires against the manifest's connections."""

from __future__ import annotations

from qdeploy.design.loading import CONFIG_PORT, CONFIG_PORTS, CRC_PORT, STATE_PORT, Loading
from qdeploy.design.manifest import Connection, Design
from qdeploy.verify.memories.blocks import CONFIG_BITS
from qdeploy.verify.memories.ledger import Place, UnreadableError
from qdeploy.verify.memories.verilog import Instance, Module, Port, preprocessed, read_module

FILL_BITS = 16
TAPS = "QD_TAPS"
_AXIS = ("TDATA", "TVALID", "TREADY")
_WIRES = ("d", "v", "r")


def check_top(place: Place, design: Design, text: str) -> None:
    """Compare the top with the manifest, as it is synthesized and as it is simulated.

    Raises:
        UnreadableError: it has a net, port or instance that the manifest knows nothing of.
    """
    for macros in (frozenset[str](), frozenset({TAPS})):
        module, rest = read_module(preprocessed(text, macros))
        if rest.strip() or module.name != design.top:
            raise UnreadableError(f"it is not the one module `{design.top}`")
        _check(place, design, module, taps=bool(macros))


def _check(place: Place, design: Design, module: Module, *, taps: bool) -> None:
    fills = {fifo.name: fifo.fill_port for fifo in design.fifos}
    loaded = [] if design.loading is None else design.loading.modules
    links = {name: index for index, name in enumerate(loaded)}
    left = {instance.name: instance for instance in module.instances}
    for layer in design.layers:
        instance = left.pop(f"{layer.module}_i", None)
        if instance is None:
            place.differs(f"instance of `{layer.module}`", "there", "missing")
            continue
        expected = {"ap_clk": "clk", "ap_rst_n": "rst_n"}
        for port, stream in design.ports_of(layer.module).items():
            expected |= _nets(f"{port}_V_", stream)
        if layer.module in links:
            index = links[layer.module]
            expected |= {"config_in": f"c{index}", "config_out": f"c{index + 1}"}
        if layer.name in fills:
            expected["fill"] = f"{fills[layer.name]}_w"
        _check_instance(place, instance, layer.module, expected)
    end = left.pop("frame_end", None)
    _check_end(place, design, end)
    if design.loading is not None:
        _check_head(place, design, design.loading, left.pop("config_head", None))
    for name in left:
        place.differs(f"instance `{name}`", "none", left[name].module)
    _check_nets(place, design, module, taps=taps)


def _check_instance(place: Place, instance: Instance, module: str, nets: dict[str, str]) -> None:
    place.check(f"module of instance `{instance.name}`", module, instance.module)
    place.check(f"parameters of instance `{instance.name}`", {}, instance.parameters)
    for port in sorted({*nets, *instance.ports}):
        where = f"port {port} of instance `{instance.name}`"
        place.check(where, nets.get(port), instance.ports.get(port), "connections")


def _check_end(place: Place, design: Design, end: Instance | None) -> None:
    """TLAST is on the last beat of a frame."""
    if end is None:
        place.differs("instance `frame_end`", "there", "missing")
        return
    stream = next(one for one in design.connections() if not one.sink.module)
    place.check("module of instance `frame_end`", "qd_tlast", end.module)
    place.check("beats of a frame", design.output.beats, stream.elements // stream.per_beat)
    expected = {"WIDTH": stream.width, "BEATS": stream.elements // stream.per_beat}
    for key in sorted({*expected, *end.parameters}):
        where = f"parameter {key} of qd_tlast"
        place.check(where, expected.get(key), end.parameters.get(key))
    nets = {"clk": "clk", "rst_n": "rst_n", "m_tlast": f"{design.output.name}_tlast"}
    for signal, wire in zip(("tdata", "tvalid", "tready"), _WIRES, strict=True):
        nets |= {f"s_{signal}": f"{wire}{stream.number}"}
        nets |= {f"m_{signal}": f"{design.output.name}_{signal}"}
    for port in sorted({*nets, *end.ports}):
        where = f"port {port} of instance `frame_end`"
        place.check(where, nets.get(port), end.ports.get(port), "connections")


def _check_head(place: Place, design: Design, loading: Loading, head: Instance | None) -> None:
    """The head of the configuration chain."""
    if head is None:
        place.differs("instance `config_head`", "there", "missing")
        return
    place.check("module of instance `config_head`", "qd_config", head.module)
    expected = {"IN_BEATS": design.input.beats, "BYTES": loading.bytes}
    for key in sorted({*expected, *head.parameters}):
        where = f"parameter {key} of qd_config"
        place.check(where, expected.get(key), head.parameters.get(key))
    source = design.input.name
    entry = next(one for one in design.connections() if not one.source.module)
    nets = {"clk": "clk", "rst_n": "rst_n", "out_end": "config_end", "allow": "config_allow"}
    nets |= {f"s_{one}": f"{CONFIG_PORT}_{one}" for one in ("tdata", "tvalid", "tready", "tlast")}
    nets |= {"in_valid": f"{source}_tvalid", "in_ready": f"r{entry.number}"}
    nets |= {"config_out": "c0", "config_back": f"c{len(loading.modules)}"}
    nets |= {"crc": CRC_PORT, "state": STATE_PORT}
    for port in sorted({*nets, *head.ports}):
        where = f"port {port} of instance `config_head`"
        place.check(where, nets.get(port), head.ports.get(port), "connections")


def _nets(prefix: str, stream: Connection) -> dict[str, str]:
    return {
        f"{prefix}{signal}": f"{wire}{stream.number}"
        for signal, wire in zip(_AXIS, _WIRES, strict=True)
    }


def _check_nets(place: Place, design: Design, module: Module, *, taps: bool) -> None:
    """Ports, wires and what drives each that no instance drives."""
    source, sink = design.input.name, design.output.name
    streams = design.connections()
    entry = next(one for one in streams if not one.source.module)
    last = next(one for one in streams if not one.sink.module)
    one_bit = {"clk": "input", "rst_n": "input", f"{source}_tvalid": "input"}
    one_bit |= {f"{source}_tready": "output", f"{sink}_tvalid": "output"}
    one_bit |= {f"{sink}_tlast": "output", f"{sink}_tready": "input"}
    ports = {name: Port(direction, 1) for name, direction in one_bit.items()}
    ports[f"{source}_tdata"] = Port("input", entry.width)
    ports[f"{sink}_tdata"] = Port("output", last.width)
    wires: dict[str, int] = {}
    drivers = {
        f"d{entry.number}": f"{source}_tdata",
        f"v{entry.number}": f"{source}_tvalid",
        f"{source}_tready": f"r{entry.number}",
    }
    if design.loading is not None:
        ports |= {name: Port(way, bits) for way, bits, name in CONFIG_PORTS}
        wires |= {f"c{index}": CONFIG_BITS for index in range(len(design.loading.modules) + 1)}
        wires |= {"config_allow": 1, "config_end": 1}
        drivers[f"v{entry.number}"] += " & config_allow"
        drivers[f"{source}_tready"] += " & config_allow"
        drivers["config_end"] = f"{sink}_tvalid & {sink}_tready & {sink}_tlast"
    for stream in streams:
        wires |= {f"d{stream.number}": stream.width}
        wires |= {f"v{stream.number}": 1, f"r{stream.number}": 1}
        if taps and stream.tap is not None:
            for signal, wire in zip(("tdata", "tvalid", "tready"), _WIRES, strict=True):
                ports[f"{stream.tap}_{signal}"] = Port("output", stream.width if wire == "d" else 1)
                drivers[f"{stream.tap}_{signal}"] = f"{wire}{stream.number}"
    fills = [fifo.fill_port for fifo in design.fifos]
    wires |= {f"{fill}_w": FILL_BITS for fill in fills}
    if taps:
        ports |= {fill: Port("output", FILL_BITS) for fill in fills}
        drivers |= {fill: f"{fill}_w" for fill in fills}
    elif fills:
        wires["unused_fill"] = 1
        drivers["unused_fill"] = f"&{{1'b0, {', '.join(f'{fill}_w' for fill in fills)}}}"
    for kind, expected, found in (
        ("port", ports, module.ports),
        ("wire", wires, module.wires),
        ("driver of", drivers, module.drivers),
    ):
        for name in sorted({*expected, *found}):
            place.check(f"{kind} `{name}`", expected.get(name), found.get(name), "connections")
