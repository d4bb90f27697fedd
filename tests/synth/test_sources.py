"""Which files a module depends on, and the hash that says whether they changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError
from qdeploy.synth.sources import SourceTree

Small = tuple[Path, Design]


def test_a_layer_depends_on_its_file_its_blocks_and_its_memory(small: Small) -> None:
    folder, design = small
    closure = SourceTree(folder, design).closure("toy_one")
    assert closure.sources == ("square.v", "toy_one.v")
    assert closure.memories == ("mem/one.mem",)


def test_the_top_stops_at_the_layers(small: Small) -> None:
    folder, design = small
    closure = SourceTree(folder, design).closure("toy", stop=["toy_one", "toy_two"])
    assert closure.sources == ("toy.v",)
    assert closure.memories == ()


def test_a_memory_name_put_together_in_verilog_takes_every_memory(small: Small) -> None:
    folder, design = small
    path = folder / "toy_one.v"
    text = path.read_text(encoding="utf-8").replace('"mem/one.mem"', '{"mem/", "one", ".mem"}')
    path.write_text(text, encoding="utf-8")
    closure = SourceTree(folder, design).closure("toy_one")
    assert closure.memories == ("mem/one.mem", "mem/two.mem")


@pytest.mark.parametrize(
    ("changed", "one_differs", "two_differs"),
    [("mem/one.mem", True, False), ("toy_two.v", False, True), ("square.v", True, True)],
)
def test_the_hash_changes_with_what_the_module_depends_on_and_nothing_else(
    small: Small, changed: str, one_differs: bool, two_differs: bool
) -> None:
    folder, design = small

    def digests() -> list[str]:
        tree = SourceTree(folder, design)
        return [tree.closure(name).digest(folder) for name in ("toy_one", "toy_two")]

    before = digests()
    with (folder / changed).open("a", encoding="utf-8") as file:
        file.write("// changed\n")
    after = digests()
    assert (before[0] != after[0], before[1] != after[1]) == (one_differs, two_differs)


def test_the_hash_depends_on_the_tool(small: Small) -> None:
    folder, design = small
    closure = SourceTree(folder, design).closure("toy_one")
    assert closure.digest(folder, "Yosys 0.23") != closure.digest(folder, "Yosys 0.24")


def test_a_module_that_no_file_defines_is_named(small: Small) -> None:
    folder, design = small
    with pytest.raises(InternalError, match="`absent` is in no source"):
        SourceTree(folder, design).closure("absent")
