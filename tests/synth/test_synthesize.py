"""Synthesis with the real Yosys: figures per layer, the store, and what must be refused."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from blind_yosys import blind_yosys

from qdeploy.cli import progress
from qdeploy.design.manifest import Design, Layer
from qdeploy.devices.boards import load_board
from qdeploy.errors import InternalError, OutOfMemoryError, ToolFailedError
from qdeploy.synth.figures import Resources
from qdeploy.synth.synthesize import synthesize

Small = tuple[Path, Design]
Filled = tuple[Path, Resources]
BOARD = load_board("pynq-z2")


def test_figures_of_layers_and_the_rest_add_up_to_the_total(small: Small, tmp_path: Path) -> None:
    folder, design = small
    work = tmp_path / "synth"
    found = synthesize(folder, design, work, BOARD)
    one, two = (layer.counts for layer in found.layers)
    # Each layer holds a register of 8 bits for the square and 8 for the sum; the top has 8.
    assert found.outside.ff == 8
    assert one.ff >= 14
    assert one.lut > 8
    assert found.total == found.outside + one + two
    assert found.fit.fits
    text = (work / "netlist.v").read_text(encoding="utf-8")
    for module in ("toy", "toy_one", "toy_two"):
        assert f"module {module}(" in text
    assert "End of script" in (work / "yosys.log").read_text(encoding="utf-8")

    found.save(tmp_path)
    data = json.loads((tmp_path / "resources.json").read_text(encoding="utf-8"))
    assert data["board"] == "pynq-z2"
    assert data["part"] == "xc7z020clg400-1"
    assert data["available"]["lut"] == 53200
    assert data["fits"] is True
    assert "Yosys 0." in data["source"]
    assert "-family xc7" in data["source"]
    assert [layer["layer"] for layer in data["layers"]] == ["body.one", "body.two"]
    assert data["lut"] == sum(layer["lut"] for layer in data["layers"]) + data["outside"]["lut"]


def test_a_yosys_with_a_folder_of_its_own_for_temporary_files_gives_the_same(
    small: Small, filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    blind_yosys(tmp_path / "blind", monkeypatch)
    found = synthesize(folder, design, tmp_path / "synth", BOARD)
    assert found.total == filled[1].total
    assert found.layers == filled[1].layers


def test_an_unchanged_design_runs_nothing_and_a_changed_layer_only_itself(
    small: Small, filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    store, first = _copied(filled, tmp_path)
    kept = {path.name for path in store.glob("*.json")}
    assert len(kept) == 3

    with monkeypatch.context() as patch:
        # With a Yosys that cannot synthesize, only the store can answer.
        tools = tmp_path / "tools"
        tools.mkdir()
        fake = tools / "yosys"
        fake.write_text(f'#!/bin/sh\n[ "$1" = -V ] && exec {_yosys()} -V\nexit 3\n')
        fake.chmod(0o755)
        patch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        again = synthesize(folder, design, tmp_path / "b", BOARD, store=store)
    assert again.total == first.total
    assert again.layers == first.layers

    memory = folder / "mem/two.mem"
    words = memory.read_text(encoding="utf-8").split()
    memory.write_text("\n".join(reversed(words)) + "\n", encoding="utf-8")
    synthesize(folder, design, tmp_path / "c", BOARD, store=store)
    fresh = {path.name for path in store.glob("*.json")} - kept
    assert len(fresh) == 2  # the layer and the top, not the other layer


def test_modules_that_differ_in_their_name_only_are_synthesized_once(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    folder, design = small
    text = (folder / "toy_one.v").read_text(encoding="utf-8").replace("toy_one", "toy_two")
    (folder / "toy_two.v").write_text(text, encoding="utf-8")
    ran: list[str] = []
    stream = io.StringIO()
    found = synthesize(
        folder,
        design,
        tmp_path / "synth",
        BOARD,
        on_module=ran.append,
        meter=lambda what, total, unit: progress.meter(what, total, unit, stream),
    )
    assert ran == ["toy_one", "toy"]
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()] == [
        "synthesis: 1 of 2 layers",
        "synthesis: 2 of 2 layers",
    ]
    assert found.layers[0].counts == found.layers[1].counts
    netlist = (tmp_path / "synth" / "netlist.v").read_text(encoding="utf-8")
    assert "module toy_one(" in netlist
    assert "module toy_two(" in netlist


def test_a_damaged_record_in_the_store_is_made_again(
    small: Small, filled: Filled, tmp_path: Path
) -> None:
    folder, design = small
    store, first = _copied(filled, tmp_path)
    damaged = next(iter(store.glob("*.json")))
    damaged.write_text('{"module": "toy_one", "cells": {"LUT', encoding="utf-8")
    assert synthesize(folder, design, tmp_path / "a", BOARD, store=store).total == first.total


def test_a_yosys_that_ends_well_without_a_netlist_is_an_error(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = tools / "yosys"
    fake.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Yosys 9.99"\nexit 0\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ToolFailedError, match="without a netlist"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_a_netlist_that_lost_its_tail_is_an_error(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    cut = 'file=$(sed -n "s/^write_verilog .* //p" "$2"); head -c -40 "$file" > "$file.cut"'
    _wrap_yosys(tmp_path, monkeypatch, f'{_yosys()} "$@" && {cut} && mv "$file.cut" "$file"')
    with pytest.raises(ToolFailedError, match="with half a netlist"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_a_yosys_that_fails_names_its_status_and_its_log(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    _wrap_yosys(tmp_path, monkeypatch, "echo ERROR: it went wrong; exit 3")
    with pytest.raises(ToolFailedError, match="exit status 3") as caught:
        synthesize(folder, design, tmp_path / "synth", BOARD)
    assert not isinstance(caught.value, OutOfMemoryError)
    assert "ERROR: it went wrong" in str(caught.value)
    assert ".log" in str(caught.value)


@pytest.mark.parametrize("suffix", [".v", ".json"])
def test_a_stored_result_that_was_cut_off_is_made_again(
    small: Small, filled: Filled, tmp_path: Path, suffix: str
) -> None:
    folder, design = small
    store, first = _copied(filled, tmp_path)
    path = min(store.glob(f"*{suffix}"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    again = synthesize(folder, design, tmp_path / "b", BOARD, store=store)
    assert again.total == first.total
    whole = (filled[0] / "synth/netlist.v").read_text(encoding="utf-8")
    assert (tmp_path / "b/netlist.v").read_text(encoding="utf-8") == whole


@pytest.mark.slow
def test_a_layer_too_large_for_memory_is_synthesized_row_by_row(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real limit: 64 dot products at once take more than 175 MB, one by one less."""
    folder, design = small
    (folder / "toy_one.v").write_text(_MANY_ROWS, encoding="utf-8")
    limited = f'ulimit -v 175000; exec {_yosys()} "$@"'
    with monkeypatch.context() as patch:
        _wrap_yosys(tmp_path, patch, limited)
        said: list[str] = []
        found = synthesize(folder, design, tmp_path / "synth", BOARD, note=said.append)
    assert said[0].startswith("toy_one: `yosys` ran out of memory")
    assert "it will run again alone" in said[0]
    assert "one by one" in said[1]
    assert "`toy_one`" in found.notes[0]
    assert "toy_two" not in found.notes[0]
    assert found.as_dict()["notes"] == list(found.notes)
    # 64 rows of 8 flip-flops each.
    assert found.layers[0].counts.ff == 64 * 8
    assert "qd_dot" not in (tmp_path / "synth/netlist.v").read_text(encoding="utf-8").split("(")[0]


def test_a_yosys_that_is_killed_every_time_is_an_error_about_memory(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, design = small
    _wrap_yosys(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(OutOfMemoryError, match=r"ran out of memory \(ended by SIGKILL\)"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_a_latch_is_refused(small: Small, tmp_path: Path) -> None:
    folder, design = small
    path = folder / "toy_two.v"
    text = path.read_text(encoding="utf-8")
    latch = "  reg [7:0] held;\n  always @* if (in_data[0]) held = in_data;\n"
    text = text.replace("  wire [7:0] square;", latch + "  wire [7:0] square;")
    path.write_text(text.replace("<= square +", "<= held + square +"), encoding="utf-8")
    with pytest.raises(ToolFailedError, match="latch"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_verilog_that_does_not_parse_names_the_log(small: Small, tmp_path: Path) -> None:
    folder, design = small
    (folder / "square.v").write_text("module square (;\n", encoding="utf-8")
    with pytest.raises((ToolFailedError, InternalError)) as caught:
        synthesize(folder, design, tmp_path / "synth", BOARD)
    assert "yosys" in str(caught.value)


def test_a_layer_with_parameters_from_outside_is_refused(small: Small, tmp_path: Path) -> None:
    folder, design = small
    path = folder / "toy.v"
    text = path.read_text(encoding="utf-8").replace("toy_one one (", "toy_one #(.W(9)) one (")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InternalError, match="with parameters"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_a_layer_the_top_does_not_use_is_refused(small: Small, tmp_path: Path) -> None:
    folder, design = small
    design = dataclasses.replace(design, layers=[*design.layers, _spare(folder, design)])
    with pytest.raises(InternalError, match="does not instantiate the layer `toy_spare`"):
        synthesize(folder, design, tmp_path / "synth", BOARD)


def test_an_ultrascale_board_is_synthesized_for_its_family(small: Small, tmp_path: Path) -> None:
    folder, design = small
    found = synthesize(folder, design, tmp_path / "synth", load_board("zcu104"))
    assert "-family xcup" in found.source
    assert found.available["uram"] == 96


# 64 rows of logic that shares nothing, one after the other.
_MANY_ROWS = """
module qd_dot_toy (input wire clk, input wire [31:0] a, input wire [31:0] b, output wire [31:0] y);
  wire [31:0] m = (a + (b ^ {a[15:0], a[31:16]})) ^ (b + {a[7:0], a[31:8]});
  wire [31:0] n = (m + (b & {m[11:0], m[31:12]})) ^ (a - m);
  reg  [7:0]  kept;
  always @(posedge clk) kept <= n[7:0] + m[15:8];
  assign y = {kept, n[31:8]};
endmodule
module toy_one (
  input wire clk, input wire rst_n,
  input wire [7:0] in_data, output wire [7:0] out_data
);
  localparam N = 64;
  wire [32*N+31:0] c;
  assign c[31:0]  = {4{in_data}};
  assign out_data = ^c ? c[32*N+24 +: 8] : 8'd0;
  genvar i;
  generate
    for (i = 0; i < N; i = i + 1) begin : g_row
      qd_dot_toy unit (.clk(clk), .a(c[32*i +: 32]), .b({in_data, 24'd5}), .y(c[32*i+32 +: 32]));
    end
  endgenerate
endmodule
"""


def _wrap_yosys(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A `yosys` first on the PATH that tells the real version, and does `body` else."""
    tools = folder / "tools"
    tools.mkdir()
    script = tools / "yosys"
    script.write_text(f'#!/bin/bash\n[ "$1" = -V ] && exec {_yosys()} -V\n{body}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


def _copied(filled: Filled, folder: Path) -> tuple[Path, Resources]:
    """A store with everything of the small design, and its figures."""
    shutil.copytree(filled[0] / "store", folder / "store")
    return folder / "store", filled[1]


def _spare(folder: Path, design: Design) -> Layer:
    text = (folder / "toy_one.v").read_text(encoding="utf-8").replace("toy_one", "toy_spare")
    (folder / "toy_spare.v").write_text(text, encoding="utf-8")
    design.sources.append("toy_spare.v")
    return dataclasses.replace(design.layers[0], module="toy_spare")


def _yosys() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return next(f"{folder}/yosys" for folder in folders if Path(folder, "yosys").exists())
