"""`qdeploy export` on a folder that holds a build: whose it is, and what is left of it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy import __version__
from qdeploy.build_folder import BUILD_FILE, GRAPH_FILE, QONNX_FILE, read_build
from qdeploy.cli.main import qdeploy, run
from qdeploy.verify.ladder import RUNGS

RECIPE = "models/quickstart/digits_fcdnn_w2a2.yaml"
# A build in a second or two, whole but for its proof.
QUICK = [
    *("--frames", "4", "--no-synthesis", "--fifo-depths", "analytic", "--fps", "1000"),
    *(word for rung in RUNGS for word in ("--skip", rung)),
]
TINY = ["network.width=16", "network.depth=2", "training.epochs=1"]


def export(*words: object) -> int:
    return run(qdeploy, ["export", *map(str, words), *QUICK])


def tree(folder: Path) -> dict[str, str]:
    """Digests of all files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def network(path: Path, sign: int = 1) -> Path:
    made = SmallNetwork()
    made.constants["weights"] = sign * made.constants["weights"]
    return made.save(path)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build of `one.onnx`."""
    assert export(network(tmp_path / "one.onnx"), "--out", tmp_path / "build") == 0
    return tmp_path / "build"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return network(tmp_path / "two.onnx", -1)


def test_the_build_of_another_file_stays_and_is_named(
    build: Path, two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(build)
    capsys.readouterr()
    assert export(two, "--out", build) == 2
    shown = capsys.readouterr()
    one = tmp_path / "one.onnx"
    assert f"`{build}` holds a build of `{one}`, not of `{two}`" in shown.err
    assert f"qdeploy {__version__} " in shown.err
    assert "(as `one`) made it; two.onnx has the digest" in shown.err
    assert "--out, or replace that build with --force" in shown.err
    assert "export QONNX" not in shown.out  # nothing was begun
    assert tree(build) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "one.onnx", "two.onnx"]


def test_force_replaces_the_whole_build_and_the_same_file_needs_none(
    build: Path, two: Path, tmp_path: Path
) -> None:
    (build / "of_before.txt").write_text("")
    assert export(two, "--out", build, "--force") == 0
    record = read_build(build) or {}
    assert record["options"]["source"] == str(two)
    assert not (build / "of_before.txt").exists()
    first = tree(build)
    assert export(two, "--out", build) == 0
    assert tree(build).keys() == first.keys()
    assert tree(build)[GRAPH_FILE] == first[GRAPH_FILE]


@pytest.mark.parametrize(
    "words", [["--fps", "1e9"], ["--board", "none-such"], ["--rtl-frames", "0"]]
)
def test_a_forced_export_that_fails_leaves_the_build_before_it(
    words: list[str], build: Path, two: Path, tmp_path: Path
) -> None:
    before = tree(build)
    assert run(qdeploy, ["export", str(two), "--out", str(build), *QUICK, *words, "--force"]) == 2
    assert tree(build) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "one.onnx", "two.onnx"]


def test_a_forced_export_of_a_damaged_file_leaves_the_build_before_it(
    build: Path, two: Path
) -> None:
    before = tree(build)
    two.write_bytes(two.read_bytes()[:-100])
    assert export(two, "--out", build, "--force") == 2
    assert tree(build) == before


def test_force_replaces_no_folder_that_is_no_build(two: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    assert export(two, "--out", tmp_path / "mine", "--force") == 2
    assert tree(tmp_path / "mine").keys() == {"thesis.tex"}


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_forced_export_that_is_ended_leaves_the_build_before_it(
    end: int, build: Path, two: Path, tmp_path: Path
) -> None:
    before = tree(build)
    words = ["export", str(two), "--out", str(build), *QUICK, "--force"]
    export = subprocess.Popen(
        [sys.executable, "-m", "qdeploy", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(f".build.*.part/{QONNX_FILE}")):
            assert export.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        export.send_signal(end)
        assert export.wait(60) != 0
    finally:
        export.kill()
        export.wait()
    assert tree(build) == before
    assert (build / BUILD_FILE).exists()


def test_variants_have_folders_of_their_own_and_say_what_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Path(RECIPE).absolute()
    monkeypatch.chdir(tmp_path)
    settings = [word for setting in TINY for word in ("--set", setting)]
    for seed, out in ((1, "a"), (2, "b")):
        words = ["train", str(recipe), *settings, "--set", f"seed={seed}", "--out", out]
        assert run(qdeploy, words) == 0
        assert export(out) == 0
    name = "digits_fcdnn_w2a2+network.depth=2+network.width=16+seed={}+training.epochs=1-pynq-z2"
    builds = [Path("build") / name.format(seed) for seed in (1, 2)]
    assert sorted(Path("build").glob("d*")) == builds
    sources = [(read_build(folder) or {})["options"]["source"] for folder in builds]
    assert sources == [str(tmp_path / "a"), str(tmp_path / "b")]
    before = tree(builds[0])
    capsys.readouterr()
    assert export("b", "--out", builds[0]) == 2
    assert f"holds a build of `{tmp_path / 'a'}`" in capsys.readouterr().err
    assert tree(builds[0]) == before
    assert export("a") == 0
