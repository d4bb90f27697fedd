"""Networks of one shape in one design, one after the other, between frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker, small_densenet, small_mobilenet, small_resnet, small_unet
from runtime_weights import (
    Swap,
    loadable_bits,
    loadable_convnet,
    loadable_mlp,
    loadable_rows,
    loadable_wide_codes,
    swap,
    swap_image,
)

from qdeploy.build_folder import FOLDING_FILE, HARDWARE_FILE
from qdeploy.dataflow.loaded import weights_image
from qdeploy.design.loading import (
    COMPLETE,
    CRC_PORT,
    INCOMPLETE,
    STATE_PORT,
    checksum,
    image_of,
)
from qdeploy.errors import InternalError, UserError
from qdeploy.ir.integer_graph import Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import DesignSimulator, Image, simulate_design
from qdeploy.sim.simulator import Simulator
from qdeploy.verify.compare import compare
from qdeploy.verify.memories.design import check_design

FRAMES = 2


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Swap, DesignSimulator]:
    folder = tmp_path_factory.mktemp("mlp")
    found = swap(loadable_mlp, 400_000.0, folder, FRAMES)
    return found, simulate_design(found.folder, found.design, folder / "sim", optimize="-O0")


def check_swapped(found: Swap, simulator: DesignSimulator) -> None:
    """First network, second, first again: all codes at all boundaries, with and without stalls."""
    first, second = found.images
    codes = np.concatenate([found.frames] * 3)[: 3 * FRAMES]
    of_first, of_second = (run_reference(one, codes) for one in (found.first, found.second))
    mine = {}
    for name, values in of_first.items():
        mine[name] = values.copy()
        mine[name][FRAMES : 2 * FRAMES] = of_second[name][FRAMES : 2 * FRAMES]
    names = found.first.boundaries()
    assert compare(names, mine, of_first).mismatches > 0
    images = [Image(second, FRAMES), Image(first, 2 * FRAMES)]
    for seed, stall in ((0, 0.0), (1, 0.3), (2, 0.7)):
        run = simulator.run(codes, stall, stall, seed, images=images)
        total = compare(names, mine, {**run.taps, found.first.output: run.outputs})
        assert total.mismatches == 0, total.first
        assert run.status[CRC_PORT] == checksum(first)
        assert run.status[STATE_PORT] == COMPLETE | 2 << 4  # two images, none waits


def test_two_networks_take_turns(mlp: tuple[Swap, DesignSimulator]) -> None:
    check_swapped(*mlp)


@pytest.mark.parametrize("fps", [30_000.0, 350_000.0])
def test_two_convolutional_networks_take_turns(fps: float, tmp_path: Path) -> None:
    found = swap(loadable_convnet, fps, tmp_path, FRAMES)
    model = simulate_design(found.folder, found.design, tmp_path / "sim", optimize="-O0")
    check_swapped(found, model)


def test_networks_with_several_pixels_per_beat_take_turns(tmp_path: Path) -> None:
    found = swap(loadable_rows, 2_500_000.0, tmp_path, FRAMES)
    folding = (tmp_path / FOLDING_FILE).read_text()
    assert folding.count("M: 2") == 2
    # What `qdeploy weights` makes of the networks' numbers and the design's folding.
    for graph, image in zip((found.first, found.second), found.images, strict=True):
        made = weights_image(graph, tmp_path / HARDWARE_FILE, found.design, found.folder)
        assert made == image
    assert [
        one.sentence() for one in check_design(found.folder, found.design, found.first).listed
    ] == []
    model = simulate_design(found.folder, found.design, tmp_path / "sim", optimize="-O0")
    check_swapped(found, model)


@pytest.mark.parametrize("fps", [50_000.0, 2_500_000.0], ids=["folded", "two pixels per beat"])
def test_multipliers_of_wide_codes_are_loaded(fps: float, tmp_path: Path) -> None:
    found = swap_image(loadable_wide_codes, fps, tmp_path, FRAMES)
    text = "".join((found.folder / f"{one.module}.v").read_text() for one in found.design.layers)
    assert text.count("qd_requant") >= 2
    assert ("M: 2" in (tmp_path / FOLDING_FILE).read_text()) == (fps > 1e6)
    own = {name: (found.folder / name).read_text().split() for name in found.design.memories}
    assert found.design.loading is not None
    assert image_of(found.design.loading.loads, own) == found.images[0]
    ledger = check_design(found.folder, found.design, found.first)
    assert [one.sentence() for one in ledger.listed] == []
    model = simulate_design(found.folder, found.design, tmp_path / "sim", optimize="-O0")
    check_swapped(found, model)


def test_codes_that_the_multipliers_cannot_make_are_refused(tmp_path: Path) -> None:
    found = swap_image(loadable_wide_codes, 50_000.0, tmp_path, FRAMES)
    nodes = list(found.second.nodes)
    at = next(k for k, node in enumerate(nodes) if isinstance(node, Threshold))
    assert isinstance(nodes[at], Threshold)
    table = nodes[at].thresholds.copy()
    table[0] = np.sort(np.random.default_rng(0).choice(table[0], table.shape[1]))  # no line
    nodes[at] = replace(nodes[at], thresholds=table)
    other = replace(found.second, nodes=tuple(nodes))
    with pytest.raises(UserError, match=r"requantize: 0.*a search takes any") as refused:
        weights_image(other, tmp_path / HARDWARE_FILE, found.design, found.folder)
    assert refused.value.where == "layer `conv0`"


def test_two_networks_of_bits_take_turns(tmp_path: Path) -> None:
    found = swap(loadable_bits, 400_000.0, tmp_path, FRAMES)
    text = "".join((found.folder / f"{one.module}.v").read_text() for one in found.design.layers)
    assert text.count(".DOT(2)") == 2
    model = simulate_design(found.folder, found.design, tmp_path / "sim", optimize="-O0")
    check_swapped(found, model)


@pytest.mark.slow
@pytest.mark.parametrize("make", [small_resnet, small_mobilenet, small_densenet, small_unet])
def test_larger_networks_take_turns(make: Callable[[int], GraphMaker], tmp_path: Path) -> None:
    found = swap(make, 20_000.0, tmp_path, FRAMES)
    model = simulate_design(found.folder, found.design, tmp_path / "sim", optimize="-O1")
    check_swapped(found, model)


@pytest.mark.parametrize("damage", ["short", "long", "one bit"])
def test_a_damaged_image_is_told(mlp: tuple[Swap, DesignSimulator], damage: str) -> None:
    found, simulator = mlp
    image = found.images[1]
    changed = {
        "short": image[:-1],
        "long": image + b"\0",
        "one bit": bytes([image[0] ^ 1]) + image[1:],
    }[damage]
    # The first network again after it: nothing of the damaged image stays.
    for images in ([Image(changed, 1)], [Image(changed, 1), Image(found.images[0], 1)]):
        run = simulator.run(found.frames, images=images)
        last = images[-1].data
        whole = COMPLETE if len(last) == len(image) else INCOMPLETE
        assert run.status[STATE_PORT] & (COMPLETE | INCOMPLETE) == whole
        assert run.status[CRC_PORT] == checksum(last)
    assert checksum(changed) != checksum(image)
    expected = run_reference(found.first, found.frames)[found.first.output]
    np.testing.assert_array_equal(run.outputs, expected)


def test_frames_wait_while_weights_are_taken(mlp: tuple[Swap, DesignSimulator]) -> None:
    """An image is offered with frames under way; frames are offered from its first byte on."""
    found, simulator = mlp
    run = simulator.run(found.frames, images=[Image(found.images[1], 1)])
    beats = found.design.input.beats
    result = simulator.run(found.frames[:1])
    alone = result.cycles
    # The second frame begins when the first has left, and every byte is in.
    assert run.ends[0] < alone + beats
    assert run.ends[1] - run.ends[0] > len(found.images[1])


def test_a_design_without_the_stream_takes_no_image(
    mlp: tuple[Swap, DesignSimulator],
) -> None:
    found, simulator = mlp
    model = simulator.simulator
    spec = replace(model.spec, inputs=model.spec.inputs[:1])
    other = DesignSimulator(Simulator(model.library, spec), found.design)
    with pytest.raises(InternalError, match="no weights at run time"):
        other.run(found.frames, images=[Image(b"", 1)])


def test_the_design_is_read_back(mlp: tuple[Swap, DesignSimulator]) -> None:
    found, _ = mlp
    ledger = check_design(found.folder, found.design, found.first)
    assert [one.sentence() for one in ledger.listed] == []
    counted = ledger.counted
    assert counted["weights"] == counted["weights read"] > 0
    assert {*ledger.used} == {*found.design.memories}


@pytest.mark.parametrize(
    "before, after",
    [
        (".config_out(c1)", ".config_out(c2)"),
        (".config_back(c", ".config_back(c0); //"),
        (" & config_allow;", ";"),
        (".BYTES(", ".BYTES(1"),
    ],
)
def test_a_chain_of_another_kind_is_a_difference(
    mlp: tuple[Swap, DesignSimulator], before: str, after: str, tmp_path: Path
) -> None:
    found, _ = mlp
    for name in (*found.design.sources, *found.design.memories):
        (tmp_path / name).write_bytes((found.folder / name).read_bytes())
    top = tmp_path / f"{found.design.top}.v"
    text = top.read_text()
    assert before in text
    top.write_text(text.replace(before, after, 1))
    assert check_design(tmp_path, found.design, found.first).differing
