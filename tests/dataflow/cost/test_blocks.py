"""Costs of blocks: the table, what it refuses, how costs grow, and fresh blocks against Yosys."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from qdeploy.dataflow.cost.blocks import FEATURES, BlockCosts, load_costs, rtl_hash
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.rtl.memories import weight_lines
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.dataflow.rtl.unit import Block, single
from qdeploy.devices.families import XC7
from qdeploy.errors import InternalError, UserError
from qdeploy.resources import resource
from qdeploy.synth.cells import count
from qdeploy.synth.yosys import Yosys

MATRIX: dict[str, int | str] = {
    "MW": 144,
    "MH": 32,
    "PE": 4,
    "SIMD": 16,
    "WB": 2,
    "AB": 2,
    "ASIGNED": 0,
    "DOT": DotKind.PLANES,
    "USE_DSP": 0,
    "WFILE": "w.hex",
    "WRAM_STYLE": "auto",
    "ACC": 11,
    "NT": 3,
    "OB": 2,
    "BASE": 0,
    "TFILE": "t.hex",
}


@pytest.fixture(scope="module")
def costs() -> BlockCosts:
    return load_costs()


def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(resource("hw/costs/xc7.json").read_text(encoding="utf-8"))
    return table


def test_every_module_that_a_backend_instantiates_has_a_cost(costs: BlockCosts) -> None:
    texts = [path.read_text("utf-8") for path in resource("qdeploy/dataflow").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r'Block\(\s*"(qd_\w+)"', text)}
    named = {name for name in named if not (resource("hw/sim") / f"{name}.v").exists()}
    assert len(named) > 10
    assert named <= set(FEATURES) and named <= set(costs.coefficients)


def test_the_table_was_measured_on_the_present_verilog(costs: BlockCosts) -> None:
    assert costs.stale == ()


def test_measured_rows_are_predicted_exactly_in_block_rams_and_dsps(costs: BlockCosts) -> None:
    rows = 0
    for module, entry in _table()["modules"].items():
        for row in entry["rows"]:
            usage = costs.of(module, row["parameters"])
            assert (usage.bram18, usage.dsp) == (row["bram18"], row["dsp"]), (module, row)
            rows += 1
    assert rows > 100


def test_measured_rows_are_predicted_closely_in_luts_all_together(costs: BlockCosts) -> None:
    for module, entry in _table()["modules"].items():
        measured = sum(row["lut"] for row in entry["rows"])
        predicted = sum(costs.of(module, row["parameters"]).lut for row in entry["rows"])
        assert abs(predicted - measured) <= 0.15 * measured + 5, module


def test_a_table_of_other_verilog_is_noted_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _table()
    table["modules"]["qd_window"]["rtl_sha256"] = "0" * 64
    (tmp_path / "xc7.json").write_text(json.dumps(table), encoding="utf-8")
    notes: list[str] = []
    costs = load_costs(folder=tmp_path, note=notes.append)
    assert costs.stale == ("qd_window",)
    assert costs.of("qd_fork", {"WIDTH": 8}).lut >= 0
    (note,) = notes
    assert "was not measured on the present Verilog of `qd_window`" in note
    assert "python scripts/measure_costs.py --only qd_window" in note
    assert capsys.readouterr() == ("", "")


def test_a_table_of_other_verilog_is_refused_when_asked_strictly(tmp_path: Path) -> None:
    table = _table()
    table["modules"]["qd_mvu"]["rtl_sha256"] = "0" * 64
    (tmp_path / "xc7.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(UserError, match="present Verilog of `qd_mvu`") as caught:
        load_costs(folder=tmp_path, strict=True)
    assert "scripts/measure_costs.py --only qd_mvu" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"modules": {"qd_mvu": {}}}'])
def test_a_half_written_table_is_an_error_with_the_command(tmp_path: Path, text: str) -> None:
    (tmp_path / "xc7.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="no readable cost table") as caught:
        load_costs(folder=tmp_path)
    assert "scripts/measure_costs.py" in str(caught.value)


def test_a_family_without_a_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`ice40`"):
        load_costs("ice40", folder=tmp_path)


def test_an_unknown_block_is_an_error_that_names_it(costs: BlockCosts) -> None:
    with pytest.raises(InternalError, match="qd_nothing"):
        costs.of("qd_nothing", {})


def test_the_hash_follows_the_files_a_module_is_made_of() -> None:
    hashes = {module: rtl_hash(module) for module in FEATURES}
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize(
    ("name", "values"),
    [("PE", (1, 2, 4, 8, 16)), ("SIMD", (8, 16, 36, 72)), ("NT", (1, 3, 7)), ("ACC", (9, 11, 14))],
)
def test_a_larger_matrix_unit_costs_more(
    costs: BlockCosts, name: str, values: tuple[int, ...]
) -> None:
    sizes = [costs.of("qd_mvu", MATRIX | {name: value}).lut for value in values]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_weights_in_block_ram_take_block_rams_instead_of_tables(costs: BlockCosts) -> None:
    tables = costs.of("qd_mvu", MATRIX | {"WRAM_STYLE": "auto"})
    blocks = costs.of("qd_mvu", MATRIX | {"WRAM_STYLE": "block"})
    assert tables.bram18 == 0 and blocks.bram18 == 4
    assert blocks.lut < tables.lut


def test_multipliers_in_dsp_blocks_are_counted(costs: BlockCosts) -> None:
    wide = MATRIX | {"WB": 8, "AB": 8, "DOT": DotKind.MULTIPLIERS, "ACC": 24}
    assert costs.of("qd_mvu", wide | {"USE_DSP": 1}).dsp == 64
    assert costs.of("qd_mvu", wide | {"USE_DSP": 0}).dsp == 0


def test_a_unit_costs_the_sum_of_its_blocks(costs: BlockCosts) -> None:
    blocks = [("qd_mvu", MATRIX), ("qd_fifo", {"WIDTH": 8, "DEPTH": 32})]
    first, second = (costs.of(*block) for block in blocks)
    assert costs.total(blocks) == first + second
    assert costs.total([]) == ResourceUsage()


@pytest.mark.parametrize(
    ("block", "within"),
    [
        (Block("qd_fifo", {"WIDTH": 20, "DEPTH": 32}, (20,), (20,), {"fill": 16}), 0.15),
        (Block("qd_dwc", {"IN_WIDTH": 40, "OUT_WIDTH": 8}, (40,), (8,)), 0.15),
        (Block("qd_mvu", MATRIX | {"NT": 0, "OB": 11, "PE": 2}, (32,), (22,)), 0.15),
    ],
    ids=lambda value: value.module if isinstance(value, Block) else None,
)
def test_a_fresh_block_is_predicted(
    costs: BlockCosts, tmp_path: Path, block: Block, within: float
) -> None:
    memories = {}
    if block.module == "qd_mvu":
        draw = random.Random(3)
        weights = [[draw.choice((-1, 0, 0, 1)) for _ in range(144)] for _ in range(32)]
        memories = {"w.hex": weight_lines(weights, 2, 16, 2)}
    unit = single(block)
    (tmp_path / "made.v").write_text(unit.verilog("made"), encoding="utf-8")
    for name in unit.files:
        (tmp_path / name).write_text(resource(f"hw/rtl/{name}").read_text("utf-8"), "utf-8")
    for name, lines in memories.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    netlist = Yosys(XC7, tmp_path / "store").run("k", "made", tmp_path, ["made.v", *unit.files])
    counts = count(XC7, netlist.cells, "made")
    usage = costs.of(block.module, block.parameters)
    assert (usage.bram18, usage.dsp) == (2 * counts.bram36, counts.dsp)
    assert usage.lut == pytest.approx(counts.lut, rel=within, abs=6)
    assert usage.ff == pytest.approx(counts.ff, rel=within, abs=6)
