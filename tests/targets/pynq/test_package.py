"""What is in a package, and what is refused before one is made."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import toy_core

from qdeploy.design.manifest import Stream
from qdeploy.design.packing import pack
from qdeploy.devices.boards import list_boards, load_board
from qdeploy.errors import FoldingError, InternalError, UserError
from qdeploy.targets.pynq.package import make_package
from qdeploy.targets.pynq.shell import dma_bytes, shell_verilog
from qdeploy.tools import find_tool, run_tool

BOARD = load_board("pynq-z2")


def test_the_bundle_says_what_the_driver_has_to_know(toy_package: Path) -> None:
    bundle = json.loads((toy_package / "bundle.json").read_text(encoding="utf-8"))
    assert bundle["board"] == "pynq-z2"
    assert bundle["clock_mhz"] == 100
    assert bundle["classes"] == ["a", "b", "c", "d", "e"]
    assert bundle["input"]["data_shape"] == [3, 2, 2]
    assert bundle["input"]["stream_shape"] == [2, 2, 3]
    assert (bundle["input"]["bytes_per_beat"], bundle["input"]["dma_bytes_per_beat"]) == (3, 4)
    assert bundle["output"]["kind"] == "logits"
    assert bundle["output"]["scale"] == 0.125
    assert bundle["provenance"]["versions"]["qdeploy"]


def test_every_file_is_hashed_in_the_bundle(toy_package: Path) -> None:
    bundle = json.loads((toy_package / "bundle.json").read_text(encoding="utf-8"))
    found = {
        path.relative_to(toy_package).as_posix()
        for path in toy_package.rglob("*")
        if path.is_file()
        and "bitstream" not in path.parts
        and "__pycache__" not in path.parts
        # What the driver compiled for this machine is no part of a package.
        and path.suffix != ".so"
    }
    assert found == {*bundle["files"], "bundle.json"}
    for name, digest in bundle["files"].items():
        assert hashlib.sha256((toy_package / name).read_bytes()).hexdigest() == digest
    assert not (toy_package / "vivado/project").exists()


def test_the_rtl_in_the_package_is_the_verified_one(toy_package: Path) -> None:
    for name in ("toy_core.v", "toy_weights.hex", "design.json"):
        assert (toy_package / "rtl" / name).read_bytes() == (
            toy_package.parent / "rtl" / name
        ).read_bytes()


def test_a_changed_memory_file_changes_the_design_id(toy_package: Path, tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    raw = toy_core.frames(1)
    with (tmp_path / "rtl/toy_weights.hex").open("a", encoding="utf-8") as file:
        file.write("// another\n")
    package = make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))
    ids = [
        json.loads((root / "bundle.json").read_text())["design_id"]
        for root in (toy_package, package)
    ]
    assert ids[0] != ids[1]
    assert f"32'h{ids[1]}" in (package / "rtl/qd_shell.v").read_text(encoding="utf-8")


def test_the_notebook_is_valid_and_its_cells_are_python(toy_package: Path) -> None:
    notebook = json.loads((toy_package / "accelerator.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for cell in cells:
        assert set(cell) >= {"cell_type", "id", "metadata", "source"}
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        ast.parse("".join(cell["source"]))
    text = ["".join(cell["source"]) for cell in code]
    for word, cell in zip(
        ("Accelerator()", "selftest", "classify", "throughput"), text, strict=False
    ):
        assert word in cell


def test_the_driver_needs_only_numpy_and_pynq_and_python_3_9(toy_package: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "pynq"}
    for path in (toy_package / "driver").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, feature_version=(3, 9))
        assert "from __future__ import annotations" in text or path.name == "__init__.py"
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] in allowed


def test_the_driver_loads_without_qdeploy_or_pynq(toy_package: Path) -> None:
    code = "import driver, sys; assert 'qdeploy' not in sys.modules; print(driver.Accelerator)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
        cwd=toy_package,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_has_no_gap(toy_package: Path) -> None:
    text = (toy_package / "README.md").read_text(encoding="utf-8")
    assert "$" not in text
    assert "TUL PYNQ-Z2" in text
    assert "make bitstream" in text
    assert "python3 -m driver selftest" in text


@pytest.mark.parametrize("name", list_boards())
def test_the_readme_names_the_boards_image_and_vivado(name: str, tmp_path: Path) -> None:
    board, raw = load_board(name), toy_core.frames(2)
    design = toy_core.write_core(tmp_path / "rtl", board.name, board.part)
    package = make_package(tmp_path, design, board, raw, toy_core.expected(raw))
    text = (package / "README.md").read_text(encoding="utf-8")
    assert f"(a PC with Vivado {'2021.1' if name == 'kv260' else '2020.2'} or newer)" in text
    assert f"Image: {board.pynq}." in text and board.board_files in text


def test_fewer_input_bits_shift_the_raw_values(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    raw = toy_core.frames(2)
    package = make_package(
        tmp_path, design, BOARD, raw, toy_core.expected(raw, shift=5), input_bits=3
    )
    assert json.loads((package / "bundle.json").read_text())["input"]["shift"] == 5
    with np.load(package / "golden/golden.npz") as data:
        packed = data["packed"].reshape(2, 4, 4)
    # Beat 0 is pixel (0, 0): its three channels, then the padding byte.
    np.testing.assert_array_equal(packed[:, 0, :3], raw[:, :, 0, 0] >> 5)
    assert (packed[:, :, 3] == 0).all()


def test_maps_of_logits_are_golden_in_the_order_of_the_stream(
    tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    stream = Stream("m_axis", "logits", (2, 3, 4), 15, True, 2)
    raw = toy_core.frames(2)
    logits = np.random.default_rng(0).integers(-(1 << 14), 1 << 14, (2, 4, 2, 3))
    package = make_package(tmp_path, dataclasses.replace(design, output=stream), BOARD, raw, logits)
    with np.load(package / "golden/golden.npz") as data:
        golden = data["outputs"]
    np.testing.assert_array_equal(golden.reshape(2, 2, 3, 4), logits.transpose(0, 2, 3, 1))
    bundle = json.loads((package / "bundle.json").read_text())
    assert bundle["output"]["kind"] == "logits"
    assert len(bundle["classes"]) == 4
    assert "4 classes, for each of 2 x 3 pixels" in (package / "README.md").read_text()
    load_driver(package)
    preparation = importlib.import_module("driver.preparation").load(package, bundle)
    layout = importlib.import_module("driver.layout").Layout(bundle, preparation)
    beats = pack(golden, stream.bits, stream.per_beat)
    np.testing.assert_array_equal(
        layout.from_beats(beats.reshape(2, -1)), logits.transpose(0, 2, 3, 1)
    )


def test_a_map_of_classes_is_told_from_a_map_of_logits(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    stream = Stream("m_axis", "class", (2, 3, 1), 8, False, 1)
    raw, classes = toy_core.frames(2), np.zeros((2, 1, 2, 3), np.int64)
    package = make_package(
        tmp_path, dataclasses.replace(design, output=stream), BOARD, raw, classes, classes="abc"
    )
    bundle = json.loads((package / "bundle.json").read_text())
    assert bundle["output"]["kind"] == "class"
    assert "one of 3 classes, for each of 2 x 3 pixels" in (package / "README.md").read_text()


def test_an_old_package_is_replaced_as_a_whole(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    raw = toy_core.frames(2)
    package = make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))
    (package / "stale.txt").touch()
    make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))
    assert not (package / "stale.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package", "rtl"]


def test_a_design_without_one_of_its_files_leaves_the_old_package(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    raw = toy_core.frames(2)
    package = make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))
    (tmp_path / "rtl/toy_weights.hex").unlink()
    with pytest.raises(UserError, match=r"lacks its file `toy_weights\.hex`"):
        make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))
    assert (package / "bundle.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package", "rtl"]


def test_golden_frames_of_another_network_are_refused(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    raw = toy_core.frames(2)
    with pytest.raises(InternalError, match="outputs"):
        make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw)[:, :4])
    with pytest.raises(InternalError, match="do not fill the stream"):
        make_package(tmp_path, design, BOARD, raw[:, :2], toy_core.expected(raw))


def test_golden_frames_beyond_a_signed_input_are_refused(tmp_path: Path) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    design = dataclasses.replace(design, input=dataclasses.replace(design.input, signed=True))
    raw = toy_core.frames(2)
    with pytest.raises(InternalError, match="not from -128 to 127"):
        make_package(tmp_path, design, BOARD, raw, toy_core.expected(raw))


@pytest.mark.parametrize(
    ("bits", "per_beat", "expected"),
    [(1, 1, 1), (8, 1, 1), (9, 1, 2), (8, 3, 4), (8, 4, 4), (8, 128, 128)],
)
def test_a_beat_is_padded_to_a_power_of_two_of_bytes(
    bits: int, per_beat: int, expected: int
) -> None:
    assert dma_bytes(Stream("s_axis", "x", (per_beat,), bits, False, per_beat)) == expected


def test_a_beat_wider_than_a_dma_is_refused() -> None:
    with pytest.raises(FoldingError, match="129 bytes per beat, an AXI DMA at most 128"):
        dma_bytes(Stream("s_axis", "x", (129,), 8, False, 129))


@pytest.mark.parametrize(("in_lanes", "out_lanes"), [(3, 1), (4, 2), (33, 5)])
def test_the_shell_passes_the_linter_at_any_width(
    tmp_path: Path, toy_package: Path, in_lanes: int, out_lanes: int
) -> None:
    design = dataclasses.replace(
        toy_core.write_core(tmp_path / "rtl"),
        top="core",
        input=Stream("s_axis", "x", (in_lanes,), 8, False, in_lanes),
        output=Stream("m_axis", "y", (out_lanes,), 8, True, out_lanes),
    )
    (tmp_path / "qd_shell.v").write_text(shell_verilog(design, "00c0ffee"), encoding="utf-8")
    (tmp_path / "core.v").write_text(
        f"""module core (input wire clk, input wire rst_n,
  input wire [{8 * in_lanes - 1}:0] s_axis_tdata, input wire s_axis_tvalid,
  output wire s_axis_tready, output wire [{8 * out_lanes - 1}:0] m_axis_tdata,
  output wire m_axis_tvalid, output wire m_axis_tlast, input wire m_axis_tready);
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  assign m_axis_tlast = 1'b1;
  assign m_axis_tdata = {{{8 * out_lanes}{{^s_axis_tdata}}}};
  wire unused = &{{1'b0, clk, rst_n}};
endmodule
""",
        encoding="utf-8",
    )
    registers = toy_package / "rtl/qd_shell_regs.v"
    command: list[str | Path] = [find_tool("verilator"), "--lint-only", "-Wall", "qd_shell.v"]
    command += ["core.v", registers, "--top-module", "qd_shell"]
    assert "%Warning" not in run_tool(command, tmp_path, tmp_path / "lint.log", 60)
