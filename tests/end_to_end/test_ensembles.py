"""Ensembles in RTL: one input, members of different latency, an integer vote; no code differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ensembles
import pytest
from tiny_networks import tiny_deeplab
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build.source import NetworkSource
from qdeploy.build_folder import read_design
from qdeploy.ensemble.make import make_ensemble
from qdeploy.networks.calibrated import pattern_frames
from qdeploy.targets.target import HARDWARE_RUNGS

WITHOUT_NETLIST = tuple(name for name in HARDWARE_RUNGS if not name.startswith("netlist"))


def rungs_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads((folder / "verify.json").read_text())["rungs"]}


def check_exact(folder: Path, names: tuple[str, ...]) -> None:
    found = rungs_of(folder)
    for name in names:
        assert found[name]["codes"] > 0 and found[name]["mismatches"] == 0, found[name]


def built(families: tuple[str, ...], out: Path, rungs: tuple[str, ...], **options: Any) -> Path:
    network = ensembles.ensemble([ensembles.member(one, i) for i, one in enumerate(families)])
    given = Options(
        Path("ensemble"),
        frames=ensembles.FRAMES,
        rtl_frames=8,
        synthesis=False,
        skip=tuple(name for name in HARDWARE_RUNGS if name not in rungs),
        **options,
    )
    return build(given, out, source=ensembles.source(network)).folder


def check_rate(folder: Path) -> None:
    """No member holds up another: the slowest layer alone decides."""
    record = json.loads((folder / "performance.json").read_text())
    assert record["cycles_per_frame"] == max(one.cycles for one in read_design(folder).layers)


@pytest.mark.slow
def test_a_shallow_member_waits_for_a_deep_one(tmp_path: Path) -> None:
    folder = built(("mlp", "deep-mlp"), tmp_path / "built", ("rtl",), fps=300_000.0)
    check_exact(folder, ("rtl",))
    check_rate(folder)


@pytest.mark.slow
@pytest.mark.parametrize("depths", ["simulated", "analytic"])
def test_members_of_three_families_are_exact_in_rtl(depths: str, tmp_path: Path) -> None:
    families = ("convnet", "resnet", "mlp")
    folder = built(families, tmp_path / "built", WITHOUT_NETLIST, fps=20_000.0, fifo_depths=depths)
    check_exact(folder, WITHOUT_NETLIST)
    check_rate(folder)


@pytest.mark.slow
@pytest.mark.parametrize("depths", ["simulated", "analytic"])
def test_maps_of_members_of_different_depth_add_up_in_rtl(depths: str, tmp_path: Path) -> None:
    members = [tiny_deeplab(blocks=1), tiny_deeplab(blocks=3, seed=1)]
    images = pattern_frames((3, 12, 16), 20, seed=1)
    network = ensembles.ensemble(members, images.float() / 256)
    options = Options(
        Path("maps"),
        frames=20,
        rtl_frames=5,
        fps=5_000.0,
        fifo_depths=depths,
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    source = NetworkSource("maps", network, images.numpy())
    folder = build(options, tmp_path / "built", source=source).folder
    check_exact(folder, WITHOUT_NETLIST)


@pytest.mark.slow
def test_four_members_that_end_in_the_class_are_exact_in_rtl(tmp_path: Path) -> None:
    folder = built(("mlp",) * 4, tmp_path / "built", WITHOUT_NETLIST, fps=20_000.0, argmax=True)
    check_exact(folder, WITHOUT_NETLIST)


@pytest.mark.slow
def test_trained_members_are_exact_on_every_rung_and_part_of_the_proof(tmp_path: Path) -> None:
    seeds = [train_tiny(tmp_path / seed, "network.width=8", f"seed={seed}") for seed in "012"]
    made = make_ensemble(seeds, tmp_path / "three")
    options = Options(made.folder, frames=64, rtl_frames=8, fps=20_000.0, require=HARDWARE_RUNGS)
    folder = build(options, tmp_path / "built").folder
    check_exact(folder, HARDWARE_RUNGS)
    record = json.loads((folder / "build.json").read_text())
    assert record["source"]["files"] == made.files
    assert record["accuracy_int"] == pytest.approx(made.summary["accuracy"])
    only = {
        "rtl_frames": 2,
        "skip": tuple(name for name in HARDWARE_RUNGS if name not in ("torch", "int")),
    }
    assert verify(folder, **only).failure is None
    members = made.folder / "members"
    shutil.copy(members / "1" / "recipe.yaml", members / "2" / "recipe.yaml")
    changed = verify(folder, **only)
    assert changed.failure is not None
    assert "members/2/recipe.yaml" in json.dumps(rungs_of(folder)["torch"])
