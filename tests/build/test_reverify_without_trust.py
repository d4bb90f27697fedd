"""What `qdeploy verify` makes of builds that lack something, and of builds of earlier versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_files import SmallNetwork

from qdeploy.build.build import build
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build_folder import BUILD_FILE, GRAPH_FILE, HARDWARE_FILE, INT_FILE, QONNX_FILE
from qdeploy.errors import VerificationError
from qdeploy.self_digest import with_digest
from qdeploy.verify.ladder import RUNGS
from qdeploy.verify.results import RungResult

NETWORKS = (QONNX_FILE, GRAPH_FILE, INT_FILE, HARDWARE_FILE)


def only(*names: str) -> tuple[str, ...]:
    """Rungs to leave out for these alone to run."""
    return tuple(name for name in RUNGS if name not in names)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of 12 frames, 4 of them in RTL."""
    folder = tmp_path_factory.mktemp("measured")
    file = SmallNetwork().save(folder / "small.onnx")
    options = Options(
        file,
        frames=12,
        rtl_frames=4,
        synthesis=False,
        fifo_depths="analytic",
        skip=only("rtl"),
        cache=folder / "cache",
    )
    assert build(options, folder / "build").failure is None
    return folder / "build"


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(made, tmp_path / "build")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """`build.json` with other values and the digest of those."""
    record = json.loads((folder / BUILD_FILE).read_text())
    change(record)
    (folder / BUILD_FILE).write_text(json.dumps(with_digest(record)))


def as_before(folder: Path, **values: Any) -> Path:
    """The build as an earlier version would have recorded it: digests of the networks only."""
    record = json.loads((folder / BUILD_FILE).read_text())
    for key in ("digest", "source", "frames_kept"):
        record.pop(key)
    record["files"] = {name: record["files"][name] for name in NETWORKS}
    (folder / BUILD_FILE).write_text(json.dumps(record | values))
    return folder


def rung(rungs: list[RungResult], name: str) -> RungResult:
    (found,) = (one for one in rungs if one.name == name)
    return found


def passed(folder: Path) -> bool:
    found = json.loads((folder / "verify.json").read_text())["passed"]
    assert isinstance(found, bool)
    return found


def test_a_verification_that_cannot_start_leaves_no_record_that_all_is_right(built: Path) -> None:
    assert verify(built, skip=only("int")).failure is None
    assert passed(built)
    (built / "frames.npz").unlink()
    with pytest.raises(VerificationError, match=r"`frames\.npz` of the build .* is missing"):
        verify(built, skip=only("int"))
    assert not passed(built)


def test_where_changed_hardware_ends_the_ladder_the_files_are_named(built: Path) -> None:
    (top,) = (built / "rtl").glob("*_top.v")
    top.write_text("module nothing at all\n", encoding="utf-8")
    result = verify(built, skip=only("int", "rtl"))
    assert isinstance(result.failure, VerificationError)
    assert f"`rtl/{top.name}` of the build" in result.failure.what
    assert result.failure.why is not None and "does not connect the layers" in result.failure.why
    assert rung(result.rungs, "int").passed
    assert not passed(built)


def test_what_the_ladder_finds_on_changed_hardware_is_said_with_the_files(built: Path) -> None:
    memory = sorted((built / "rtl").glob("*.hex"))[0]
    words = memory.read_text().split()
    words[0] = f"{int(words[0], 16) ^ 1:0{len(words[0])}x}"
    memory.write_text("\n".join(words) + "\n")
    failure = verify(built, skip=only("memories")).failure
    assert failure is not None and failure.why is not None
    assert f"`rtl/{memory.name}`" in failure.what
    assert "with these files rung `memories`" in failure.why


@pytest.mark.parametrize("key", ["cycles_per_frame", "latency_cycles"])
def test_cycles_other_than_the_builds_are_a_failure_with_both_figures(
    key: str, built: Path
) -> None:
    path = built / "performance.json"
    figures = json.loads(path.read_text())
    right = figures[key]
    path.write_text(json.dumps({**figures, key: right - 1}))
    rewrite(built, lambda record: record["files"].pop("performance.json"))
    result = verify(built, skip=only("rtl"))
    assert rung(result.rungs, "rtl").passed
    assert result.failure is not None
    assert f"{right:,} cycles" in result.failure.what and f"says {right - 1}" in result.failure.what
    assert not passed(built)
    # Fewer frames are another measurement.
    assert verify(built, rtl_frames=2, skip=only("rtl")).failure is None


def test_the_builds_own_frames_take_the_cycles_it_recorded(built: Path) -> None:
    before = (built / "performance.json").read_bytes()
    assert verify(built, skip=only("rtl"), seed=5).failure is None
    assert (built / "performance.json").read_bytes() == before


def test_an_earlier_build_is_verified_and_says_what_has_no_digest(built: Path) -> None:
    notes: list[str] = []
    result = verify(as_before(built), skip=only("int"), observer=BuildObserver(note=notes.append))
    assert result.failure is None
    (note,) = (one for one in notes if "earlier version" in one)
    for name in ("`rtl`", "`frames.npz`", "`package`", "`performance.json`"):
        assert name in note


def _edit(**arrays: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        for name, change in arrays.items():
            data[name] = change(data[name])

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (_edit(codes=np.zeros_like), "every code is zero"),
        (_edit(codes=lambda c: c[:0], raw=lambda r: r[:0], labels=lambda x: x[:0]), "are none"),
        (_edit(codes=lambda c: c[:5]), "5 of codes, 12 raw, 12 labels"),
        (_edit(codes=lambda c: c.reshape(len(c), -1)), r"their shape is \(32,\)"),
        (_edit(codes=lambda c: c.astype(np.int64) + 256), "from 2.. to 5.."),
    ],
    ids=["zeroed", "none", "cut", "flat", "out of range"],
)
def test_frames_of_an_earlier_build_are_at_least_frames_of_its_network(
    edit: Callable[[dict[str, Any]], None], told: str, built: Path
) -> None:
    with np.load(built / "frames.npz") as data:
        arrays = dict(data)
    edit(arrays)
    np.savez_compressed(built / "frames.npz", **arrays)
    with pytest.raises(VerificationError, match=rf"`frames\.npz` of the build .*{told}"):
        verify(as_before(built), skip=only("int"))


def test_an_earlier_build_without_its_netlist_or_its_run_fails_by_name(
    built: Path, tmp_path: Path
) -> None:
    (built / "recipe.yaml").write_text("a run's\n", encoding="utf-8")
    record = json.loads((built / BUILD_FILE).read_text())
    options = {**record["options"], "source": str(tmp_path / "gone")}
    as_before(built, synthesized=True, options=options)
    result = verify(built, skip=only("torch", "int", "netlist layer", "netlist"))
    assert rung(result.rungs, "torch").refused == (
        f"the run `{tmp_path / 'gone'}`, which the build was made of, is missing"
    )
    assert rung(result.rungs, "int").passed
    for name in ("netlist layer", "netlist"):
        told = rung(result.rungs, name).refused
        assert told is not None and "`synth/netlist.v` is missing" in told
    assert result.failure is not None and "--skip torch" in str(result.failure.do)
    assert not passed(built)
    assert verify(built, skip=only("int")).failure is None


def test_what_comes_of_using_a_package_is_no_part_of_it(built: Path) -> None:
    for name in ("bitstream/accelerator.bit", "driver/__pycache__/x.pyc", "vivado/project/a.xpr"):
        path = built / "package" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    assert verify(built, skip=only("int"), package=True).failure is None
