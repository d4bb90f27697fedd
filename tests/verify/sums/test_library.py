"""The library's dot products in both of their forms: proved as they are, refused where changed."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from library_changes import VIEWS, changed, same, texts_of

from qdeploy.verify.sums.proof import prove
from qdeploy.verify.sums.results import Construct, View

PLANES = Construct("qd_dot_planes", (("SIMD", 3), ("WB", 2), ("AB", 2), ("ASIGNED", 1)))
MULT = Construct("qd_dot_mult", (("SIMD", 3), ("WB", 2), ("AB", 2), ("ASIGNED", 1), ("USE_DSP", 0)))
XNOR = Construct("qd_dot_xnor", (("SIMD", 10),))
CHANGES = 12


def drawn(module: str, names: tuple[str, ...], seed: int) -> Construct:
    """Parameters as designs have them."""
    chance = random.Random(f"{module} {seed}")
    most = {"SIMD": 40, "WB": 8, "AB": 8} if module == "qd_dot_mult" else {"SIMD": 40, "WB": 3}
    values = [
        chance.randint(1, most.get(name, 3))
        if name in ("SIMD", "WB", "AB")
        else chance.randint(0, 1)
        for name in names
    ]
    return Construct(module, tuple(zip(names, values, strict=True)))


CASES = [
    *(Construct("qd_dot_xnor", (("SIMD", lanes),)) for lanes in (1, 2, 8, 9, 10, 54, 128)),
    *(drawn("qd_dot_planes", ("SIMD", "WB", "AB", "ASIGNED"), seed) for seed in range(12)),
    *(drawn("qd_dot_mult", ("SIMD", "WB", "AB", "ASIGNED", "USE_DSP"), seed) for seed in range(12)),
    *(Construct(f"qd_count_{number}") for number in ("six", "nine")),
    # Of one lane and one bit: nothing to sum.
    *(
        Construct("qd_dot_planes", (("SIMD", 1), ("WB", 1), ("AB", ab), ("ASIGNED", sign)))
        for ab, sign in itertools.product((1, 2), (0, 1))
    ),
]


@pytest.mark.parametrize("construct", CASES, ids=lambda one: f"{one.module} {one}")
def test_every_module_is_proved_in_both_forms(construct: Construct) -> None:
    assert prove(construct, texts_of(construct.module)) == ()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("construct", (PLANES, MULT, XNOR), ids=lambda one: one.module)
def test_a_change_in_one_form_is_refused_unless_it_changes_nothing(
    construct: Construct, view: View, tmp_path: Path
) -> None:
    """A SAT solver is the judge of what is proved, and of what has other factors."""
    good, chance = texts_of(construct.module), random.Random(construct.module)
    assert same(construct, good, good, view, tmp_path)
    refused = 0
    for _ in range(CHANGES):
        text = changed(good[construct.module], view, chance)
        broken = {**good, construct.module: text}
        findings = prove(construct, broken)
        assert {finding.view for finding in findings} <= {view}
        refused += bool(findings)
        if not findings or findings[0].place.startswith("the factor of"):
            assert same(construct, good, broken, view, tmp_path) == (not findings), text
    assert refused >= 3


@pytest.mark.parametrize(
    ("construct", "file", "old", "new"),
    [
        (PLANES, "qd_plane_sum", "wide_below - wide_plane", "wide_below + wide_plane"),
        (PLANES, "qd_plane_sum", "low  <= below", "low  <= ~below"),
        (MULT, "qd_adder_tree", "wide_a + wide_b", "wide_a - wide_b"),
        (MULT, "qd_adder_tree", "(SIGNED != 0) & a[B-1], a", "1'b0, a"),
        (Construct("qd_count_nine"), "qd_count_nine", "two_carry ^ both", "two_carry | both"),
        (Construct("qd_count_six"), "qd_count_six", "^two ^ carry", "^two"),
    ],
)
def test_a_change_in_what_a_form_instantiates_is_refused(
    construct: Construct, file: str, old: str, new: str
) -> None:
    texts = texts_of(construct.module)
    assert old in texts[file]
    findings = prove(construct, {**texts, file: texts[file].replace(old, new, 1)})
    # What both forms have is found in both.
    both = construct.module == file
    assert {finding.view for finding in findings} == ({*VIEWS} if both else {"synthesis"})


def test_a_result_of_another_cycle_is_refused() -> None:
    texts = texts_of("qd_dot_xnor")
    module = texts["qd_dot_xnor"]
    late = module.replace("LATENCY = 2 +", "LATENCY = 3 +")
    findings = prove(XNOR, {**texts, "qd_dot_xnor": late})
    assert late != module
    assert findings[0].view == "simulation"
    assert (findings[0].expected, findings[0].found) in (("0", "60"), ("62", "0"))


def test_a_text_that_is_no_verilog_is_not_proved() -> None:
    texts = texts_of("qd_dot_xnor")
    broken = {**texts, "qd_dot_xnor": texts["qd_dot_xnor"].replace("endmodule", "")}
    findings = prove(XNOR, broken)
    assert {finding.view for finding in findings} == {*VIEWS}
    assert all("not proved" in finding.found for finding in findings)


def test_a_proof_is_kept_by_content(tmp_path: Path) -> None:
    texts = texts_of("qd_dot_xnor")
    assert prove(XNOR, texts, tmp_path) == ()
    (record,) = tmp_path.iterdir()
    first = record.stat().st_mtime_ns
    assert prove(XNOR, texts, tmp_path) == ()
    assert record.stat().st_mtime_ns == first
    # Other parameters, another text of the module or of what it instantiates: another proof.
    assert prove(Construct("qd_dot_xnor", (("SIMD", 11),)), texts, tmp_path) == ()
    assert prove(XNOR, {**texts, "qd_adder_tree": texts["qd_adder_tree"] + "\n"}, tmp_path) == ()
    assert len([*tmp_path.iterdir()]) == 3
    # What is not proved is not kept, and a record that does not read is no proof.
    wrong = {**texts, "qd_dot_xnor": texts["qd_dot_xnor"].replace("- LANES;", "+ LANES;")}
    assert prove(XNOR, wrong, tmp_path)
    assert len([*tmp_path.iterdir()]) == 3
    whole = record.read_text(encoding="utf-8")
    record.write_text("{", encoding="utf-8")
    assert prove(XNOR, texts, tmp_path) == ()
    assert record.read_text(encoding="utf-8") == whole
