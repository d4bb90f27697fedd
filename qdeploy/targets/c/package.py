"""The package of target `c`: sources, golden frames with a self-test, and how to build them.

network.c, network.h, weights.c, weights.h, kernels/   as the build verified them
network_io.c, network_io.h    raw values to codes, logits to classes
golden.c, golden.h            golden frames and the self-test
golden_layers.c               which layer is wrong where it fails
qemu/                         the self-test on a bare core: main.c, start-up, linker script
host/main.c                   a program that runs it
PREFIX.hpp                    all of it as a class of C++11
library.properties, examples/selftest    with these the folder is a library of Arduino
Makefile, CMakeLists.txt, README.md, bundle.json
"""

from __future__ import annotations

import shutil
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy import provenance
from qdeploy.artifacts import atomic_folder, sha256, write_json, write_text
from qdeploy.build_folder import C_FOLDER, PACKAGE_FOLDER
from qdeploy.codegen.c.cores import load_core
from qdeploy.codegen.c.elements import Element
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.text import array
from qdeploy.ir.layout import to_stream_order
from qdeploy.resources import resource
from qdeploy.self_digest import with_digest
from qdeploy.targets.c.interface import has_real, interface_files, raw_element
from qdeploy.targets.c.layers import digest_tables
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.golden import class_names, golden_frames
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.records import head_record
from qdeploy.targets.template import filled

BUNDLE_FORMAT = 1
BUNDLE_FILE = "bundle.json"
# Golden frames: no more, and of no more bytes, but two at least.
GOLDEN_FRAMES, GOLDEN_BYTES, LEAST_FRAMES = 16, 16_384, 2
_TEXTS = (
    *("golden.c", "golden.h", "golden_layers.c"),
    *("library.properties", "Makefile", "CMakeLists.txt", "README.md"),
)
# Of the rungs' own checks, for a core under QEMU; this one where the package is for hosts.
_CHECKS, _CORE = "export/c/checks", "cortex-m3"
_CLASSIFY = """
    /* The class of each output of each pixel of the last result. */
    void classify(int32_t *classes) const {{ {prefix}_classify(logits_, classes); }}
"""
_REAL = """
    /* Run on a frame of real values, as they were measured. */
    const int32_t *run_real(const float *values) {{
        {prefix}_prepare_real(values, codes_);
        return run_codes(codes_);
    }}
"""
_REAL_LINE = (
    "- `{prefix}_prepare_real(values, codes)` takes measured values, float, in the place of "
    "`{prefix}_prepare`:\n  the scaling of the training is in it as thresholds, and every value "
    "gets the code that it had there.\n"
)


def make_package(build: FinishedBuild, plan: dict[str, Any], program: Program) -> tuple[Path, int]:
    """Write `package` into a build folder, replacing an older one as a whole.

    Args:
        plan: `plan.json` of the C sources.
        program: what they were made from.

    Returns:
        The package folder, and how many golden frames it has: fewer where flash has no room.
    """
    graph, prefix = build.graph, str(plan["prefix"])
    preparation = graph.prepared
    shift = 0 if preparation.raw is not None else 8 - min(8, build.input_bits)
    source = PackageInput(preparation, shift)
    raw = raw_element(source)
    count = _golden_count(prod(preparation.shape) * raw.size)
    if plan.get("flash_budget") is not None:
        result = 4 * prod(graph.tensors[graph.output].shape)
        room = plan["flash_budget"] - plan["constants"]
        count = max(1, min(count, room // (prod(preparation.shape) * raw.size + result)))
    golden = golden_frames(build, count)
    inputs = golden.raw[:count].reshape(len(golden.raw[:count]), -1)
    outputs = to_stream_order(golden.outputs[:count], frames=True).reshape(len(inputs), -1)
    classes = class_names(build)
    interface = interface_files(graph, source, prefix, classes)
    classifies = f"{prefix}_classify" in interface["network_io.h"]
    core = load_core(plan["mcu"])
    core = core if core.emulator else load_core(_CORE)
    script = "arm.ld" if core.emulator == "qemu-system-arm" else "riscv.ld"
    fields: dict[str, object] = {
        **digest_tables(program, golden.codes[: len(inputs)]),
        "core": core.name,
        "cross": core.compiler,
        "core_flags": " ".join(core.flags),
        "emulator": core.emulator,
        "machine": " ".join(core.machine_arguments),
        "script": script,
        "prefix": prefix,
        "upper": prefix.upper(),
        "title": graph.name,
        "takes": source.takes,
        "constants": f"{plan['constants']:,}",
        "frames": len(inputs),
        "golden_bytes": f"{inputs.size * raw.size + outputs.size * 4:,}",
        "inputs": _table(raw.c_type, "golden_inputs", inputs),
        "outputs": _table(Element.I32.c_type, "golden_outputs", outputs),
        "classify_method": _CLASSIFY.format(prefix=prefix) if classifies else "",
        "classify_line": f"{prefix}_classify(logits, classes);"
        if classifies
        else "/* compare gain * logit + offset of bundle.json yourself */",
        "real_method": _REAL.format(prefix=prefix) if has_real(graph, source) else "",
        "real_line": _REAL_LINE.format(prefix=prefix) if has_real(graph, source) else "",
        "level": "-Os" if plan["optimize"] == "flash" else "-O2` or `-O3",
        "meaning": source.meaning.split(" `from_float")[0].split(" With `from_float")[0],
    }
    bundle: dict[str, Any] = {
        "format": BUNDLE_FORMAT,
        "target": "c",
        "name": graph.name,
        "prefix": prefix,
        "mcu": plan["mcu"],
        "optimize": plan["optimize"],
        "arena_bytes": plan["arena"],
        "constant_bytes": plan["constants"],
        "input": {**source.record(), "order": "row-major (H, W, C)"},
        "output": head_record(graph.head),
        "classes": list(classes),
        "golden_frames": len(inputs),
        "provenance": provenance.record(),
    }
    with atomic_folder(build.folder / PACKAGE_FOLDER) as root:
        _copy_sources(build.folder / C_FOLDER, root)
        for name, text in interface.items():
            write_text(root / name, text)
        for name, place in (
            ("host_main.c", "host/main.c"),
            ("selftest.ino", "examples/selftest/selftest.ino"),
            ("network.hpp", f"{prefix}.hpp"),
            ("qemu_main.c", "qemu/main.c"),
        ):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            write_text(root / place, filled(f"export/c/{name}.in", fields))
        for name in _TEXTS:
            own = {**fields, "arena": f"{plan['arena']:,}"} if name == "README.md" else fields
            write_text(root / name, filled(f"export/c/{name}.in", own))
        for name in ("start.h", "memory.c", script, "include/string.h"):
            (root / "qemu" / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(resource(f"{_CHECKS}/{name}"), root / "qemu" / name)
        bundle["files"] = {
            path.relative_to(root).as_posix(): sha256(path)
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        write_json(root / BUNDLE_FILE, with_digest(bundle))
    return build.folder / PACKAGE_FOLDER, len(inputs)


def _golden_count(frame_bytes: int) -> int:
    return max(LEAST_FRAMES, min(GOLDEN_FRAMES, GOLDEN_BYTES // frame_bytes))


def _table(c_type: str, name: str, values: npt.NDArray[np.integer]) -> str:
    return "static " + array(c_type, name, [str(value) for value in values.reshape(-1).tolist()])


def _copy_sources(source: Path, target: Path) -> None:
    (target / "kernels").mkdir()
    for path in sorted(source.rglob("*")):
        if path.suffix in (".c", ".h"):
            shutil.copyfile(path, target / path.relative_to(source))
