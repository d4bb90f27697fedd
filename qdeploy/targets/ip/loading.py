"""What a package of IP has besides where weights are loaded at run time; nothing where they never
change.

The wrapper gets the configuration stream and what is told of it, the testbench can load an image
before the golden frames, and `tb/weights.hex` is the image of the weights that the design begins
with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_text
from qdeploy.design.loading import CONFIG_PORT
from qdeploy.design.manifest import Design
from qdeploy.targets.records import own_image
from qdeploy.targets.template import filled

WEIGHTS_FILE = "weights.hex"
_NOTHING = (
    "config_ports",
    "config_wires",
    "config_core",
    "bench_ports",
    "bench_loading",
    "bench_waits",
    "bench_loads",
    "weights_entry",
    "weights_text",
)
_BENCH_PORTS = {
    f"{CONFIG_PORT}_tdata": "c_tdata",
    f"{CONFIG_PORT}_tvalid": "c_tvalid",
    f"{CONFIG_PORT}_tready": "c_tready",
    f"{CONFIG_PORT}_tlast": "c_tlast",
    "config_crc": "c_crc",
    "config_state": "c_state",
}


def slaves(design: Design) -> list[str]:
    """The AXI-Streams into the IP."""
    return ["s_axis"] if design.loading is None else ["s_axis", CONFIG_PORT]


def loading_fields(design: Design, weights: dict[str, Any] | None) -> dict[str, object]:
    """Fields of the templates.

    Args:
        weights: bytes and checksum of the design's own image, as the bundle has them.
    """
    streams = ":".join(["s_axis", "m_axis", *slaves(design)[1:]])
    if design.loading is None or weights is None:
        return {"streams": streams, **dict.fromkeys(_NOTHING, "")}
    numbers: dict[str, object] = {
        "weights_bytes": weights["bytes"],
        "weights_crc": weights["crc32"],
    }
    ports = ", ".join(f".{name}({wire})" for name, wire in _BENCH_PORTS.items())
    entry = f"      - tb/{WEIGHTS_FILE} : {{file_type: user, copyto: {WEIGHTS_FILE}}}\n"
    return {
        "streams": streams,
        "config_ports": _part("ports.v", {}).rstrip("\n"),
        "config_wires": _part("wires.v", {}),
        "config_core": _part("core.v", {}).rstrip("\n"),
        "bench_ports": f",\n    {ports}",
        "bench_loading": _part("bench.v", numbers),
        "bench_waits": " && !loading",
        "bench_loads": "loading ? 0 : ",
        "weights_entry": entry,
        "weights_text": _part("README.md", numbers),
    }


def write_weights(root: Path, rtl: Path, design: Design) -> None:
    """`tb/weights.hex` of a package, a byte per line; nothing where weights are part of the logic.

    Args:
        rtl: folder of the design.
    """
    if design.loading is not None:
        image = own_image(rtl, design)
        write_text(root / "tb" / WEIGHTS_FILE, "".join(f"{byte:02x}\n" for byte in image))


def _part(name: str, fields: dict[str, object]) -> str:
    return filled(f"export/ip/loading/{name}.in", fields)
