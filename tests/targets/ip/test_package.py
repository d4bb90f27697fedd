"""What an IP package holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ip_packages import IpBuild

from qdeploy.artifacts import sha256
from qdeploy.design import packing
from qdeploy.errors import InternalError
from qdeploy.self_digest import is_intact
from qdeploy.targets.ip.golden import golden_count
from qdeploy.targets.ip.package import make_package


def test_two_packages_have_the_same_bytes(ip_build: IpBuild, tmp_path: Path) -> None:
    one, other = (ip_build.package(tmp_path / name) for name in ("one", "the other"))
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert [
        name for name in names if (one / name).read_bytes() != (other / name).read_bytes()
    ] == []


def test_the_bundle_has_the_digest_of_every_file(package: Path) -> None:
    bundle = json.loads((package / "bundle.json").read_text(encoding="utf-8"))
    assert is_intact(bundle)
    there = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {*bundle["files"]} == there - {"bundle.json"}
    assert all(sha256(package / name) == digest for name, digest in bundle["files"].items())


def test_the_design_is_the_verified_one(package: Path, ip_build: IpBuild) -> None:
    for path in (ip_build.folder / "rtl").iterdir():
        assert (package / "rtl" / path.name).read_bytes() == path.read_bytes()


def test_golden_files_hold_the_streams_beats(package: Path, ip_build: IpBuild) -> None:
    for name, stream, values in (
        ("input", ip_build.design.input, ip_build.codes.transpose(0, 2, 3, 1)),
        ("output", ip_build.design.output, ip_build.outputs),
    ):
        lines = (package / f"tb/golden_{name}.hex").read_text(encoding="utf-8").split()
        assert len(lines) == 8 * stream.beats
        assert {len(line) for line in lines} == {2 * stream.bytes_per_beat}
        beats = np.array([[*bytes.fromhex(line)[::-1]] for line in lines], np.uint8)
        found = packing.unpack(beats, stream.bits, stream.per_beat, stream.signed)
        assert np.array_equal(found, values.reshape(-1))


def test_long_frames_get_fewer_golden_ones(ip_build: IpBuild) -> None:
    assert golden_count(100, ip_build.design.input) == 100
    long = ip_build.design.input.__class__("s_axis", "x", (512, 512, 1), 8, False, 1)
    assert golden_count(100, long) == 4
    assert golden_count(100, long.__class__("s_axis", "x", (2048, 2048, 1), 8, False, 1)) == 2


def test_frames_that_are_not_the_designs_are_refused(ip_build: IpBuild) -> None:
    for codes, outputs in (
        (ip_build.codes[:, :1], ip_build.outputs),
        (ip_build.codes[:0], ip_build.outputs[:0]),
        (ip_build.codes + 16, ip_build.outputs),
        (ip_build.codes, ip_build.outputs[:, :3]),
    ):
        with pytest.raises(InternalError, match="do not belong together"):
            make_package(ip_build.folder, ip_build.design, codes, outputs)
    assert not (ip_build.folder / "package").exists()
