"""A file of weights for a build with `--runtime-weights`: another network of the same shape.

weights file   npz of `record` (JSON as bytes, with its own digest), `image` (bytes for the
               configuration stream) and `outputs` (integers of the package's golden frames, in
               the order of the stream; none where the build has no package)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.artifacts import atomic_path
from qdeploy.build.observer import SILENT_BUILD, BuildObserver
from qdeploy.build.options import Options, read_options
from qdeploy.build.source import FileExtras, Source, open_source
from qdeploy.build_folder import (
    GRAPH_FILE,
    HARDWARE_FILE,
    PACKAGE_FOLDER,
    RTL_FOLDER,
    SIM_FOLDER,
    read_design,
)
from qdeploy.dataflow.loaded import weights_image
from qdeploy.design.digests import design_id
from qdeploy.design.loading import CRC_PORT, checksum
from qdeploy.design.manifest import Design
from qdeploy.design.weights_file import weights_file
from qdeploy.errors import UserError, VerificationError
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.layout import to_stream_order
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.ir.reference import run_reference
from qdeploy.ir.same_shape import with_numbers_of
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.npz import read_npz
from qdeploy.scratch import scratch_folder
from qdeploy.self_digest import with_digest
from qdeploy.sim.design import Image, simulate_design
from qdeploy.targets.records import head_record
from qdeploy.verify.compare import compare
from qdeploy.verify.frames import load_frames

FORMAT = 1
GOLDEN = "golden/golden.npz"


def make_weights(
    folder: Path,
    source: Path,
    out: Path,
    *,
    data: Path | None = None,
    input_type: str | None = None,
    output: str | None = None,
    rtl_frames: int = 10,
    binary: Path | None = None,
    observer: BuildObserver = SILENT_BUILD,
) -> dict[str, Any]:
    """Write the weights of another network of a build's shape.

    Args:
        folder: of a build with `--runtime-weights`.
        source: run folder or QONNX file.
        out: the file.
        data, input_type, output: as of an export.
        rtl_frames: frames of the build with each of the two networks that the RTL is simulated
            with, the build's own before and after the other one; 0 leaves it out.
        binary: a second file with the same, for the driver in C (`design.weights_file`).

    Returns:
        What the file says of itself.

    Raises:
        UserError: the build is not complete or takes no weights at run time; the network is of
            another shape, with the layer that differs.
        VerificationError: a code in RTL is not that of the integer graphs.
    """
    with observer.warnings():
        options, design = read_options(folder), read_design(folder)
        graph = read_graph(folder / GRAPH_FILE)
        with observer.during("read the network") as say:
            raw = None if input_type is None else parse_raw_type(input_type)
            extras = FileExtras(raw, output=output)
            found = open_source(source, data or _data(options, source), observer, extras)
            say(found.describe())
        with observer.during("lower to integers") as say:
            other = with_numbers_of(graph, _lowered(found, options), f"`{source}`")
            rtl, hardware = folder / RTL_FOLDER, folder / HARDWARE_FILE
            image = weights_image(other, hardware, design, rtl)
            own = weights_image(graph, hardware, design, rtl)
            say(f"{other.weights_of():,} weights, an image of {len(image):,} bytes")
        if rtl_frames:
            with observer.during("RTL: both networks take turns") as say:
                say(_simulated(folder, design, options, (graph, other), (own, image), rtl_frames))
        record = with_digest(
            {
                "format": FORMAT,
                "name": found.name,
                "source": found.describe(),
                "design_id": design_id(rtl, design),
                "bytes": len(image),
                "crc32": checksum(image),
                "classes": list(found.classes),
                "output": head_record(other.head),
            }
        )
        outputs = _golden(folder, other)
        _write(out, record, image, outputs)
        if binary is not None:
            with atomic_path(binary) as temporary:
                temporary.write_bytes(weights_file(record["design_id"], image, outputs))
    return record


def _data(options: Options, source: Path) -> Path | None:
    """The build's folder of data sets, which a file has no use for."""
    return options.data if source.is_dir() else None


def _lowered(source: Source, options: Options) -> IntegerGraph:
    with scratch_folder("weights") as scratch:
        path = scratch / "network.onnx"
        source.write_qonnx(path)
        return lower_with_affine(path, argmax=options.argmax).graph


def _simulated(
    folder: Path,
    design: Design,
    options: Options,
    graphs: tuple[IntegerGraph, IntegerGraph],
    images: tuple[bytes, bytes],
    frames: int,
) -> str:
    """Run the build's network, the other one, and the build's again; a sentence of what was found.

    Raises:
        VerificationError: a code or the checksum differs.
    """
    codes = load_frames(folder).codes[:frames]
    count = len(codes)
    first, second = (run_reference(graph, codes) for graph in graphs)
    expected = {
        name: np.concatenate([values, second[name], values]) for name, values in first.items()
    }
    simulator = simulate_design(
        folder / RTL_FOLDER, design, options.cache_of(folder) / SIM_FOLDER, taps=True
    )
    run = simulator.run(
        np.concatenate([codes] * 3),
        options.stall,
        options.stall,
        images=[Image(images[1], count), Image(images[0], 2 * count)],
    )
    output = graphs[0].output
    total = compare(graphs[0].boundaries(), expected, {**run.taps, output: run.outputs})
    if total.first is not None or run.status[CRC_PORT] != checksum(images[0]):
        raise VerificationError(
            "the design with other weights is not their network",
            why=total.first.sentence() if total.first else "its checksum is of another image",
            do="run `qdeploy verify` on the build; if its rungs hold, report this",
        )
    return f"{total.codes:,} codes at {total.boundaries} boundaries, none differs"


def _golden(folder: Path, graph: IntegerGraph) -> IntArray:
    """Integers that the package's golden frames give, (frames, elements); (0, 0) without one."""
    path = folder / PACKAGE_FOLDER / GOLDEN
    if not path.is_file():
        return np.zeros((0, 0), dtype=np.int64)
    try:
        (raw,) = read_npz(path, ("inputs",))
        frames = load_frames(folder)
        if not np.array_equal(frames.raw[: len(raw)], raw):
            raise ValueError("its frames are not the build's")
    except (OSError, ValueError) as error:
        raise UserError(
            "the golden frames of the build's package cannot be read",
            where=str(path),
            why=str(error),
            do="run `qdeploy export` again",
        ) from error
    codes = run_reference(graph, frames.codes[: len(raw)])[graph.output]
    return to_stream_order(codes, frames=True).reshape(len(raw), -1)


def _write(path: Path, record: dict[str, Any], image: bytes, outputs: IntArray) -> None:
    text = json.dumps(record, sort_keys=True).encode()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            record=np.frombuffer(text, dtype=np.uint8),
            image=np.frombuffer(image, dtype=np.uint8),
            outputs=outputs.astype(np.int64),
        )
