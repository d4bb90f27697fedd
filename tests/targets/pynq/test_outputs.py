"""The driver of a network with several outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import damaged_packages
import numpy as np
import pytest

from qdeploy.errors import UserError


def with_parts(folder: Path, *parts: tuple[str, int]) -> tuple[Path, dict[str, Any]]:
    path = damaged_packages.package("bundle.json", folder)
    bundle = json.loads(path.read_bytes())
    bundle["output"]["parts"] = [{"name": name, "channels": size} for name, size in parts]
    path.write_text(json.dumps(bundle))
    damaged_packages.sealed_bundle(path)
    return path, bundle


def test_each_output_has_its_own_logits_and_class(tmp_path: Path) -> None:
    path = damaged_packages.package("bundle.json", tmp_path)
    channels = json.loads(path.read_bytes())["output"]["stream_shape"][-1]
    path, bundle = with_parts(tmp_path / "two", ("digit", channels - 1), ("other", 1))
    driver, _ = damaged_packages.driver_of(path.parent, int(bundle["design_id"], 16))
    with driver.Accelerator(timeout_s=1.0) as accelerator:
        frames = np.zeros((3, *accelerator.layout.data_shape), dtype=np.int64)
        logits = accelerator.infer(frames)
        parts = accelerator.outputs(logits)
        assert {name: values.shape for name, values in parts.items()} == {
            "digit": (3, channels - 1),
            "other": (3, 1),
        }
        assert accelerator.classify(frames).shape == (3, 2)


@pytest.mark.parametrize("parts", [[("a", 1)], [("a", 10**6), ("b", 1)], [("a", 0)]])
def test_outputs_of_other_channels_are_refused(
    parts: list[tuple[str, int]], tmp_path: Path
) -> None:
    path, _ = with_parts(tmp_path, *parts)
    with pytest.raises(UserError, match="parts"):
        damaged_packages.use_package(path)
