"""Every key of a bundle that the driver uses is checked when the bundle is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import damaged_packages
import pytest

from qdeploy.errors import UserError


def keys(value: Any) -> Iterator[tuple[str, ...]]:
    """Paths of all keys, of objects in objects too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *rest) for rest in keys(inner))


def without(bundle: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    name, *rest = path
    return {
        key: without(value, tuple(rest)) if key == name and rest else value
        for key, value in bundle.items()
        if rest or key != name
    }


def test_a_missing_key_is_told_by_its_name_or_is_not_needed(tmp_path: Path) -> None:
    path = damaged_packages.package("bundle.json", tmp_path)
    whole = json.loads(path.read_bytes())
    told = 0
    for key in keys(whole):
        if key == ("digest",):
            continue
        path.write_text(json.dumps(without(whole, key)))
        damaged_packages.sealed_bundle(path)
        try:
            damaged_packages.use_package(path)
        except UserError as error:
            assert key[-1] in str(error) or key[0] in ("files", "digest"), (key, error)
            told += 1
    assert told > 25


def test_a_bundle_without_its_cycles_is_refused(tmp_path: Path) -> None:
    path = damaged_packages.package("bundle.json", tmp_path)
    path.write_text(json.dumps(without(json.loads(path.read_bytes()), ("cycles_per_frame",))))
    damaged_packages.sealed_bundle(path)
    with pytest.raises(UserError, match="cycles_per_frame"):
        damaged_packages.use_package(path)


@pytest.mark.parametrize("name", ["driver/" + "x" * 300, "driver/absent.py", "a\0b", "rtl"])
def test_a_file_that_cannot_be_there_is_named(name: str, tmp_path: Path) -> None:
    path = damaged_packages.package("bundle.json", tmp_path)
    _, bundles = damaged_packages.driver_of(path.parent, 0)
    bundle = json.loads(path.read_bytes())
    assert bundles.damaged(path.parent, bundle) == []
    bundle["files"][name] = "0" * 64
    assert bundles.damaged(path.parent, bundle) == [name]


def test_a_stream_of_classes_keeps_the_map_of_every_logit(tmp_path: Path) -> None:
    path = damaged_packages.package("bundle.json", tmp_path)
    bundle = json.loads(path.read_bytes())
    output = bundle["output"]
    output.update(kind="class", gain=["1/4", "1/2", "1/8"], offset=["0/1", "1/1", "-1/2"])
    output["stream_shape"][-1] = output["elements"] = output["beats"] = 1
    path.write_text(json.dumps(bundle))
    damaged_packages.sealed_bundle(path)
    _, bundles = damaged_packages.driver_of(path.parent, 0)
    assert bundles.load(path.parent)["output"]["gain"] == output["gain"]
    output["gain"] = []
    path.write_text(json.dumps(bundle))
    damaged_packages.sealed_bundle(path)
    with pytest.raises(bundles.BundleError, match=r"output\.gain"):
        bundles.load(path.parent)
