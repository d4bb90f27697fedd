"""Target `ip`: a folder that becomes a block of the user's own design, in any tool.

rtl/        the verified design, unchanged, and a wrapper with the usual port names
tb/         a self-checking testbench, golden frames and what must come out of them
tb/weights.hex, where weights are loaded at run time: those that the design begins with
constraints/, vivado/, *.f, *.core, Makefile     for Vivado, other simulators, FuseSoC, make
input.npz   thresholds of real numbers and the table of raw values, where they are known
bundle.json all there is to know, with the hash of every file and of itself
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy import provenance
from qdeploy.artifacts import atomic_folder, sha256, write_json, write_text
from qdeploy.build_folder import PACKAGE_FOLDER, RTL_FOLDER
from qdeploy.design.digests import design_digests, design_id
from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError
from qdeploy.ir.head import Head
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.ir.layout import to_stream_order
from qdeploy.resources import resource
from qdeploy.self_digest import with_digest
from qdeploy.targets.ip import texts
from qdeploy.targets.ip.golden import INPUT_FILE, OUTPUT_FILE, golden_count, write_beats
from qdeploy.targets.ip.loading import write_weights
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.records import (
    class_count,
    head_record,
    output_kind,
    stream_record,
    weights_record,
)
from qdeploy.targets.template import filled

BUNDLE_FORMAT = 1
BUNDLE_FILE = "bundle.json"
_PACKAGE_IP = "vivado/package_ip.tcl"


def make_package(
    folder: Path,
    design: Design,
    codes: npt.NDArray[np.integer],
    outputs: npt.NDArray[np.integer],
    *,
    preparation: InputPreparation | None = None,
    meaning: Head | None = None,
    classes: Sequence[str] = (),
    input_bits: int | None = None,
    cycles_per_frame: int | None = None,
    latency_cycles: int | None = None,
) -> Path:
    """Write `package` into a build folder, replacing an older one as a whole.

    Args:
        folder: the build folder, with the design in `rtl`.
        codes: golden frames, (N, *input shape of the graph): (N, C, H, W) or (N, F).
        outputs: integers that must come out, (N, elements of the output) or (N, channels, H', W').
        preparation: from frames to codes; when None every code of the stream is legal.
        meaning: what the output's integers mean; the design's one scale when None.
        classes: names of the classes; numbers when empty.
        input_bits: input code = raw value >> (8 - input_bits); those of the stream when None.
        cycles_per_frame, latency_cycles: measured, None where the RTL was not simulated.

    Returns:
        The package folder.

    Raises:
        UserError: when the design folder lacks a file.
        InternalError: when golden frames and design do not belong together.
    """
    count = golden_count(len(codes), design.input, design.output)
    given, expected = _flat(codes[:count]), _flat(outputs[:count])
    _check(design, given, expected)
    source = PackageInput.of(design, codes.shape[1:], preparation, input_bits)
    bundle: dict[str, Any] = {
        "format": BUNDLE_FORMAT,
        "target": "ip",
        "name": design.name,
        "module": texts.module_name(design),
        "vlnv": texts.vlnv(design),
        "board": design.board,
        "part": design.part,
        "clock_mhz": design.clock_mhz,
        "design_id": design_id(folder / RTL_FOLDER, design),
        "input": {**stream_record(design.input), "order": "row-major (H, W, C)", **source.record()},
        "output": {
            **stream_record(design.output),
            "kind": output_kind(design, classes),
            **head_record(meaning or Head((Fraction(design.logit_scale or 1),))),
        },
        "classes": list(classes) or [str(index) for index in range(class_count(design))],
        "cycles_per_frame": cycles_per_frame,
        "latency_cycles": latency_cycles,
        "golden_frames": count,
        "provenance": provenance.record(),
        **weights_record(folder / RTL_FOLDER, design),
    }
    with atomic_folder(folder / PACKAGE_FOLDER) as root:
        _copy_design(folder / RTL_FOLDER, design, root / "rtl")
        (root / "tb").mkdir()
        write_beats(root / "tb" / INPUT_FILE, design.input, given)
        write_beats(root / "tb" / OUTPUT_FILE, design.output, expected)
        write_weights(root, folder / RTL_FOLDER, design)
        _write_texts(root, design, bundle, source)
        source.write(root)
        _finish(root, bundle)
    return folder / PACKAGE_FOLDER


def _flat(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """(N, elements) in the order of the stream."""
    return to_stream_order(values, frames=True).reshape(len(values), prod(values.shape[1:]))


def _check(
    design: Design, codes: npt.NDArray[np.integer], outputs: npt.NDArray[np.integer]
) -> None:
    """The golden frames fit the design's streams."""
    problems = []
    if not len(codes):
        problems.append("no golden frames")
    for name, stream, values in (
        ("inputs", design.input, codes),
        ("outputs", design.output, outputs),
    ):
        if values.shape != (len(codes), stream.elements):
            problems.append(f"{name} {values.shape} for {stream.elements} elements per frame")
        elif values.size:
            half = 1 << (stream.bits - 1)
            low, high = (-half, half - 1) if stream.signed else (0, 2 * half - 1)
            if int(values.min()) < low or int(values.max()) > high:
                problems.append(f"{name} are not from {low} to {high}")
    if problems:
        raise InternalError(
            "golden frames and design do not belong together", why="; ".join(problems)
        )


def _copy_design(source: Path, design: Design, target: Path) -> None:
    for name in design_digests(source, design):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _write_texts(root: Path, design: Design, bundle: dict[str, Any], source: PackageInput) -> None:
    module = texts.module_name(design)
    fields = texts.fields(design, bundle, source, bundle["golden_frames"])
    for template, name in (
        ("rtl/accelerator.v", f"rtl/{module}.v"),
        ("tb/testbench.v", f"tb/{module}_tb.v"),
        ("Makefile", "Makefile"),
        ("README.md", "README.md"),
        ("fusesoc.core", f"{module}.core"),
        ("constraints.xdc", f"constraints/{module}.xdc"),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        write_text(root / name, filled(f"export/ip/{template}.in", fields))
    write_text(root / f"{module}.f", texts.file_list(design))
    (root / _PACKAGE_IP).parent.mkdir()
    shutil.copyfile(resource(f"export/ip/{_PACKAGE_IP}"), root / _PACKAGE_IP)
    write_text(root / "vivado/config.tcl", texts.tcl_config(design))


def _finish(root: Path, bundle: dict[str, Any]) -> None:
    bundle["files"] = {
        path.relative_to(root).as_posix(): sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    write_json(root / BUNDLE_FILE, with_digest(bundle))
