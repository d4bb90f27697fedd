"""Which modules of the library a design uses in two forms, and what is said where they differ."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from design_faults import FORMS, Faults
from library_changes import changes_no_construct
from memory_designs import stitched

from qdeploy.errors import ToolMissingError
from qdeploy.resources import resource
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.memories.constructs import check_constructs
from qdeploy.verify.memories.design import check_design
from qdeploy.verify.rungs.memories import MemoriesRung
from qdeploy.verify.sums.dots import CONTRACTS
from qdeploy.verify.sums.results import Construct


def elaborated(folder: Path, top: str, sources: list[str], work: Path) -> set[Construct]:
    """Modules with a contract and their parameters, as Yosys instantiates them in a design."""
    out = (work / "design.json").absolute()
    reads = "; ".join(f"read_verilog -defer {source}" for source in sources)
    script = f"{reads}; hierarchy -check -top {top}; proc; write_json {out}"
    subprocess.run(["yosys", "-q", "-p", script], cwd=folder, check=True)
    found = set()
    for name, module in json.loads(out.read_text(encoding="utf-8"))["modules"].items():
        kind = name.split("\\")[1] if name.startswith("$paramod") else name
        if kind in CONTRACTS:
            values = module.get("parameter_default_values", {})
            given = tuple((key, int(values[key], 2)) for key in CONTRACTS[kind].parameters)
            found.add(Construct(kind, given))
    return found


@pytest.mark.parametrize("name", ["convnet", "mobilenet", "many_levels_fast"])
def test_every_one_that_is_instantiated_is_proved(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    design, graph = stitched(name, folder)
    ledger = check_design(folder, design, graph)
    used = elaborated(folder, design.top, list(design.sources), tmp_path)
    assert {*ledger.constructs} == used
    assert used
    check_constructs(ledger, tmp_path / "proofs")
    assert ledger.listed == []
    assert ledger.counted["library modules proved"] == len(used)
    assert len([*(tmp_path / "proofs").iterdir()]) == len(used)


@pytest.mark.parametrize(
    ("old", "new", "view"),
    [
        ("total = total + x*y", "total = total - x*y", "as it is simulated"),
        ("if (i == WB - 1) shifted", "if (i == WB - 2) shifted", "as it is synthesized"),
    ],
)
def test_a_library_whose_forms_differ_is_named_with_parameters_and_layers(
    old: str, new: str, view: str, tmp_path: Path
) -> None:
    """The design has the library's own files: no digest tells."""
    folder, library = tmp_path / "rtl", tmp_path / "library"
    design, graph = stitched("convnet", folder)
    shutil.copytree(resource("hw/rtl"), library)
    for path in (folder / "qd_dot_mult.v", library / "qd_dot_mult.v"):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    ledger = check_design(folder, design, graph, library)
    assert ledger.listed == []
    check_constructs(ledger, tmp_path / "proofs", library)
    first = ledger.listed[0].sentence()
    assert first.startswith(
        f"module `qd_dot_mult`: with SIMD 1 WB 8 AB 8 ASIGNED 0 USE_DSP 0 {view}"
    )
    assert "(in layers `conv0`), the factor of a[0]" in first
    assert any("AB 2" in one.place and "`fc6`" in one.place for one in ledger.listed)


def test_a_change_in_one_form_is_found_or_changes_nothing(tmp_path: Path) -> None:
    """With files of the design that are those of the library."""
    folder, library = tmp_path / "rtl", tmp_path / "library"
    design, graph = stitched("many_levels", folder)
    faults = Faults(folder, design, random.Random(3))
    found = 0
    for _ in range(8):
        fault = faults.draw(FORMS)
        assert fault is not None
        shutil.copytree(resource("hw/rtl"), library, dirs_exist_ok=True)
        (library / fault.file).write_text(fault.text, encoding="utf-8")
        ledger = check_design(folder, design, graph)
        check_constructs(ledger, tmp_path / "proofs", library)
        if ledger.listed:
            found += 1
            assert ledger.listed[0].module == fault.file.removesuffix(".v")
        else:
            assert changes_no_construct(ledger.constructs, fault.file, fault.text, tmp_path)
    assert found >= 4


@pytest.fixture
def build(tmp_path: Path) -> LadderInputs:
    folder = tmp_path / "build"
    _, graph = stitched("convnet", folder / "rtl")
    frames = np.zeros((1, *graph.tensors[graph.input].shape), dtype=np.int64)
    return LadderInputs(folder, graph, None, frames, tmp_path / "cache")


def test_without_yosys_the_rung_says_what_it_did_not_compare(
    build: LadderInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = MemoriesRung()
    whole = rung.run(build, {}, required=True)
    assert whole.passed
    assert whole.note == ""
    assert whole.details["compared"]["library modules proved"] == 4
    monkeypatch.setenv("PATH", "")
    result = rung.run(build, {}, required=False)
    assert result.passed
    assert result.codes == whole.codes
    assert "not compared: `yosys` is not installed" in result.note
    with pytest.raises(ToolMissingError, match="yosys"):
        rung.run(build, {}, required=True)
