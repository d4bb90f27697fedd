"""The words and figures that fill the templates of `export/ip`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qdeploy.design.manifest import Design, Stream
from qdeploy.targets.ip.loading import loading_fields, slaves
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.tcl import tcl_word
from qdeploy.version import __version__

VENDOR, LIBRARY = "qdeploy", "accelerator"
# Cycles without a beat, as so many intervals and cycles more, until the testbench gives up.
_PATIENT_FRAMES, _PATIENT_CYCLES = 20, 10_000


def module_name(design: Design) -> str:
    """The module of the IP: that of the design, with `_ip` for `_top`; none of the design's own."""
    name = f"{design.top.removesuffix('_top')}_ip"
    while f"{name}.v" in design.sources:
        name += "_"
    return name


def vlnv(design: Design) -> str:
    """Vendor, library, name and version, as FuseSoC and Vivado write them."""
    return f"{VENDOR}:{LIBRARY}:{module_name(design)}:{__version__}"


def description(design: Design) -> str:
    """One line for catalogs."""
    return f"{design.name}: quantized neural network, AXI-Stream in and out"


def fields(
    design: Design, bundle: dict[str, Any], source: PackageInput, outputs: int
) -> dict[str, object]:
    """Fields of all templates.

    Args:
        bundle: what the package says of itself.
        outputs: frames in the golden files.
    """
    latency, interval = bundle["latency_cycles"], bundle["cycles_per_frame"]
    expected = interval or design.cycles_per_frame
    return {
        "name": design.name,
        "module": module_name(design),
        "top": design.top,
        "in_name": design.input.name,
        "out_name": design.output.name,
        "version": __version__,
        "part": design.part,
        "vlnv": vlnv(design),
        "description": json.dumps(description(design)),
        "clock_mhz": f"{design.clock_mhz:g}",
        "period_ns": f"{1e3 / design.clock_mhz:.3f}",
        "frames": outputs,
        "latency": latency or 0,
        "interval": expected,
        "patience": _PATIENT_FRAMES * expected + _PATIENT_CYCLES + (latency or 0),
        **loading_fields(design, bundle.get("weights")),
        **_stream("in", design.input),
        **_stream("out", design.output),
        "latency_text": _measured(
            latency, "from a frame's first input beat to its last output beat, both counted", design
        ),
        "interval_text": _measured(interval, "between frames that follow without a gap", design),
        "output_text": _output_text(bundle),
        "output_meaning": _output_meaning(bundle),
        "input_meaning": _input_meaning(source),
        "rtl_files": _yaml([f"rtl/{module_name(design)}.v", *_in_rtl(design.sources)]),
        "memory_files": _yaml(
            [
                f"{{rtl/{name}: {{file_type: user, copyto: {name}}}}}"
                for name in sorted(design.memories)
            ]
        ),
    }


def file_list(design: Design) -> str:
    """The `.f` file: Verilog of the design, with names relative to the package."""
    names = [*_in_rtl(design.sources), f"rtl/{module_name(design)}.v"]
    return "\n".join([*names, ""])


def tcl_config(design: Design) -> str:
    """Settings of `vivado/package_ip.tcl`."""

    def listed(names: Sequence[str]) -> str:
        return "".join(f" \\\n    {tcl_word(name)}" for name in names)

    module = module_name(design)
    sources = [*_in_rtl(design.sources), f"rtl/{module}.v"]
    return "\n".join(
        [
            "# Settings of package_ip.tcl for this design.",
            f"set qd_module {tcl_word(module)}",
            f"set qd_part {tcl_word(design.part)}",
            f"set qd_vendor {VENDOR}",
            f"set qd_library {LIBRARY}",
            f"set qd_version {_two_numbers(__version__)}",
            f"set qd_title {tcl_word(design.name)}",
            f"set qd_description {tcl_word(description(design))}",
            f"set qd_sources [list{listed(sources)}]",
            f"set qd_memories [list{listed(_in_rtl(sorted(design.memories)))}]",
            f"set qd_slaves [list {' '.join(slaves(design))}]",
            f"set qd_constraints {tcl_word(f'constraints/{module}.xdc')}",
            "",
        ]
    )


def _two_numbers(version: str) -> str:
    """Vivado's versions of IP are MAJOR.MINOR."""
    return ".".join(version.split(".")[:2])


def _in_rtl(names: Sequence[str]) -> list[str]:
    return [f"rtl/{name}" for name in names]


def _yaml(entries: Sequence[str]) -> str:
    return "\n".join(f"      - {entry}" for entry in entries) if entries else "      []"


def _stream(prefix: str, stream: Stream) -> dict[str, object]:
    kind = "two's complement" if stream.signed else "unsigned"
    elements = f"{stream.per_beat} elements" if stream.per_beat > 1 else "one element"
    layout = f"{elements} of {stream.bits} bits, {kind}"
    if stream.per_beat > 1:
        layout += ", element 0 in the lowest bits"
    shape = ", ".join(str(size) for size in stream.shape)
    axes = "(H, W, C)" if len(stream.shape) == 3 else "(F)"
    found: dict[str, object] = {
        "width": stream.width,
        "top": stream.width - 1,
        "bytes": stream.bytes_per_beat,
        "bits": stream.bits,
        "beats": stream.beats,
        "per_beat": stream.per_beat,
        "elements": stream.elements,
        "signed": kind,
        "shape": f"{axes} = ({shape})",
        "layout": layout,
    }
    return {f"{prefix}_{key}": value for key, value in found.items()}


def _measured(cycles: int | None, what: str, design: Design) -> str:
    if cycles is None:
        return "not measured: the RTL was not simulated when this was exported"
    time = cycles / design.clock_mhz
    return f"{cycles:,} cycles {what}, measured in RTL simulation: {time:,.3f} µs at this clock"


def _output_text(bundle: dict[str, Any]) -> str:
    count = f"{len(bundle['classes'])} classes"
    place = ""
    if len(bundle["output"]["stream_shape"]) == 3:
        height, width, _ = bundle["output"]["stream_shape"]
        place = f", for each of {height} x {width} places of a map"
    if bundle["output"]["kind"] == "class":
        return f"one of {count}{place}"
    return f"a logit for each of {count}{place}"


def _output_meaning(bundle: dict[str, Any]) -> str:
    sink = bundle["output"]
    if sink["kind"] == "class":
        return "the number of the class."
    if sink["scale"] is not None and sink["scale"] > 0:
        return (
            f"logit = {sink['scale']:.9g} · integer, so the class is that of the largest integer."
        )
    return "logit = gain · integer + offset, with a gain and an offset for each channel."


def _input_meaning(source: PackageInput) -> str:
    found = source.preparation
    said = f"codes from {found.lo} to {found.hi}"
    if found.scale is not None:
        said += f"; one step means {float(found.scale):.9g}"
    if source.shift:
        return f"{said}. Of a byte of the data set, `value >> {source.shift}` is the code."
    if found.raw is None:
        return f"{said}."
    if found.takes_codes:
        return f"{said}. A raw {found.raw.name} value is the code itself."
    return (
        f"{said}. `table` in `input.npz` has the code of each raw {found.raw.name} value "
        f"({source.raw_range[0]} first)."
    )
