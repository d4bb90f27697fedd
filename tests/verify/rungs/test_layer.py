"""The layer rung: designs with every kind of unit, whole, and with layers broken one by one."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from broken_layers import drop_a_beat, memories, turn_a_code, turn_over
from design_faults import Fault
from memory_designs import DESIGNS, stitched
from redundant_faults import changes_nothing

from qdeploy.design.manifest import Design
from qdeploy.errors import ToolMissingError
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import climb
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs import layer as rung_module
from qdeploy.verify.rungs.layer import LayerRung
from qdeploy.verify.units.parameters import UnitKind

# Those with the fewest modules in the fast suite; together they have every kind of unit.
FAST = ("convnet",)
NAMES = [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in DESIGNS]
Broken = Callable[[Path, str], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LadderInputs]:
    cache, made = tmp_path_factory.mktemp("cache"), {}

    def get(name: str) -> LadderInputs:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            _, graph = stitched(name, folder / "rtl")
            made[name] = LadderInputs(folder, graph, None, np.zeros(0), cache)
        return made[name]

    return get


@pytest.fixture(autouse=True)
def quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rung_module, "simulate_design", partial(rung_module.simulate_design, optimize="-O0")
    )


def run_rung(inputs: LadderInputs) -> RungResult:
    return LayerRung().run(inputs, {}, required=False)


def copied(inputs: LadderInputs, folder: Path) -> LadderInputs:
    shutil.copytree(inputs.folder, folder)
    return dataclasses.replace(inputs, folder=folder)


def named(rung: RungResult) -> set[str]:
    """Modules that the rung calls wrong."""
    found = [re.search(r"\(`(\w+)`", text) for text in rung.details["differences"]]
    return {match[1] for match in found if match}


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_gives_what_the_graph_says(
    name: str, built: Callable[[str], LadderInputs]
) -> None:
    inputs = built(name)
    design = Design.load(inputs.folder / "rtl")
    rung = run_rung(inputs)
    assert (rung.mismatches, rung.details["differences"]) == (0, [])
    assert [one["module"] for one in rung.details["layers"]] == [
        layer.module for layer in design.layers
    ]
    assert rung.boundaries == sum(bool(one.source.module) for one in design.connections())
    assert min(one["vectors"] for one in rung.details["layers"]) >= 2


def test_the_designs_have_every_kind_of_unit_and_operator(
    built: Callable[[str], LadderInputs],
) -> None:
    kinds: set[str] = set()
    for name in DESIGNS:
        inputs = built(name)
        design = Design.load(inputs.folder / "rtl")
        trial = rung_module.prepare(design, inputs.graph, 10_000)
        kinds |= {one.unit.kind.value for one in trial.stimuli.values()}
    assert kinds == {kind.value for kind in UnitKind}


# Every layer is broken once, and a layer beside it not.
@pytest.mark.parametrize("odd, break_it", [(False, drop_a_beat), (True, turn_a_code)])
@pytest.mark.parametrize("name", NAMES)
def test_broken_layers_are_named_and_no_others(
    name: str,
    odd: bool,
    break_it: Broken,
    built: Callable[[str], LadderInputs],
    tmp_path: Path,
) -> None:
    inputs = copied(built(name), tmp_path / "build")
    layers = Design.load(inputs.folder / "rtl").layers
    broken = {one.module for index, one in enumerate(layers) if index % 2 == odd}
    for module in broken:
        break_it(inputs.folder / "rtl", module)
    rung = run_rung(inputs)
    assert not rung.passed
    assert named(rung) == broken
    first = next(one for one in layers if one.module in broken)
    assert rung.note.startswith(f"layer `{first.layer}` (`{first.module}`, out0)")


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_memory_is_found_at_its_layer(
    name: str, built: Callable[[str], LadderInputs], tmp_path: Path
) -> None:
    inputs = copied(built(name), tmp_path / "build")
    folder = inputs.folder / "rtl"
    design = Design.load(folder)
    for file, module in memories(folder, design).items():
        before = (folder / file).read_bytes()
        turn_over(folder / file)
        rung = run_rung(inputs)
        if not named(rung) and re.search(r"_t(_s\d+_p\d+)?\.hex$", file):
            # Thresholds that no sum reaches.
            fault = Fault("threshold", file, "", "", "")
            assert changes_nothing(folder, design, inputs.graph, fault), file
            (folder / file).write_bytes(before)
            continue
        assert named(rung) == {module}, file
        assert re.search(r"channel \d+: -?\d+ instead of -?\d+", rung.note), file
        (folder / file).write_bytes(before)


def test_what_does_not_fit_the_time_is_counted_and_told(
    built: Callable[[str], LadderInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = built("convnet")
    whole = run_rung(inputs)
    # As for a network of very many products: what one frame takes.
    monkeypatch.setattr(rung_module, "MOST_PRODUCTS", 1)
    monkeypatch.setattr(rung_module, "LEAST_CYCLES", 1)
    rung = run_rung(inputs)
    assert rung.passed
    assert rung.details["left_out"] > whole.details["left_out"]
    assert re.fullmatch(
        r"[\d,]+ vectors left out for time, [\d,]+ of them of layer `\S+`", rung.note
    )
    layers = rung.details["layers"]
    assert rung.details["left_out"] == sum(one["left_out"] for one in layers)
    assert rung.details["cycles"] < whole.details["cycles"]


def test_a_design_that_does_not_record_its_streams_skips_the_rung(
    built: Callable[[str], LadderInputs], tmp_path: Path
) -> None:
    inputs = copied(built("convnet"), tmp_path / "build")
    folder = inputs.folder / "rtl"
    dataclasses.replace(Design.load(folder), streams=[]).save(folder)
    rung = run_rung(inputs)
    assert rung.skipped is not None
    assert "run `qdeploy export` again" in rung.skipped


def test_without_verilator_the_rung_is_skipped_unless_it_is_required(
    built: Callable[[str], LadderInputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inputs = dataclasses.replace(built("convnet"), frames=np.zeros((1, 1, 9, 8), dtype=np.int64))
    monkeypatch.setenv("PATH", str(tmp_path))
    (rung,) = climb(inputs, rungs=("layer",))
    assert rung.skipped is not None
    assert "verilator" in rung.skipped
    with pytest.raises(ToolMissingError):
        climb(inputs, rungs=("layer",), require=("layer",))
