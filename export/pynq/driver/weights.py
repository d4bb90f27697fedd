"""A file of weights for an accelerator that loads them, as `qdeploy weights` writes it.

record    JSON as bytes: what network it is, for which design, checksum, classes, its logits
image     bytes for the core's configuration stream
outputs   integers that the package's golden frames give with these weights
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .contents import check_output
from .errors import WeightsError
from .npz import read_npz
from .self_digest import is_intact

FORMAT = 1
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Weights:
    """Weights of one network.

    Args:
        record: what the file says of it.
        outputs: (golden frames, elements), in the order of the stream.
    """

    record: dict[str, Any]
    image: bytes
    outputs: np.ndarray


def read(path: Path, bundle: dict[str, Any]) -> Weights:
    """Read a file of weights for the accelerator of a bundle.

    Raises:
        WeightsError: it cannot be read, is damaged, of another version, or of another design; or
            the accelerator takes no weights.
    """
    if "weights" not in bundle:
        raise WeightsError(
            "this accelerator's weights never change; export it with --runtime-weights"
        )
    try:
        record, image, outputs = read_npz(path, ("record", "image", "outputs"), MAX_BYTES)
        if record.dtype != np.uint8 or image.dtype != np.uint8 or outputs.dtype != np.int64:
            raise ValueError("its arrays are of other types")
        data = json.loads(record.tobytes().decode("utf-8"))
        found = data.get("format") if isinstance(data, dict) else None
        if found == FORMAT:
            _check(data, bundle)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no whole file of weights ({error})") from error
    if found != FORMAT:
        raise WeightsError(f"{path} has format {found}, this driver reads {FORMAT}")
    if data["design_id"] != bundle["design_id"]:
        raise WeightsError(
            f"{path} has weights for design {data['design_id']}, this package is of"
            f" {bundle['design_id']}: make the file from the build of this package"
        )
    content = image.tobytes()
    if len(content) != bundle["weights"]["bytes"] or zlib.crc32(content) != data["crc32"]:
        raise WeightsError(f"{path} is damaged: its weights are not those it was written with")
    if outputs.ndim != 2 or (len(outputs) and outputs.shape[1] != bundle["output"]["elements"]):
        raise WeightsError(f"{path} has golden results of another accelerator")
    return Weights(data, content, outputs)


def _check(data: dict[str, Any], bundle: dict[str, Any]) -> None:
    """What the driver takes from the record.

    Raises:
        ValueError: it was edited, or a value is missing or wrong.
    """
    if not is_intact(data):
        raise ValueError("its record was edited or damaged")
    if not isinstance(data.get("design_id"), str) or not isinstance(data.get("crc32"), int):
        raise ValueError("it does not say what it is for")
    classes = data.get("classes")
    named = isinstance(classes, list) and all(isinstance(one, str) for one in classes)
    if not named or (classes and len(classes) != len(bundle["classes"])):
        raise ValueError("its classes are not as many as the accelerator's")
    if not isinstance(data.get("output"), dict):
        raise ValueError("it does not say what its results mean")
    check_output({**bundle["output"], **data["output"]})
