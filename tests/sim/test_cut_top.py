"""Tops whose layers are cut loose: from RTL and from a netlist, and texts that are neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from memory_designs import DESIGNS, stitched

from qdeploy.errors import VerificationError
from qdeploy.ir.reference import run_reference
from qdeploy.sim.cut_top import cut_ports, cut_top
from qdeploy.sim.design import simulate_design


def test_a_top_that_can_be_cut_is_the_design_until_it_is(tmp_path: Path) -> None:
    design, graph = stitched("convnet", tmp_path / "rtl")
    maker = DESIGNS["convnet"][0]()
    maker.graph()
    frames = maker.frames(3)
    model = simulate_design(tmp_path / "rtl", design, tmp_path / "models", optimize="-O0")
    spec = model.simulator.spec
    assert spec.cut_clock
    assert len(spec.part_inputs) == len(cut_ports(design).inputs)
    found = model.run(frames, stall_in=0.3, stall_out=0.3, seed=1)
    assert np.array_equal(found.outputs, run_reference(graph, frames)[graph.output])


def test_texts_that_do_not_connect_the_layers_as_listed_are_refused(tmp_path: Path) -> None:
    design, _ = stitched("convnet", tmp_path / "rtl")
    text = (tmp_path / "rtl" / f"{design.top}.v").read_text(encoding="utf-8")
    module = design.layers[0].module
    for old, new, told in (
        (f"  {module} {module}_i (", f"  {module} other (", f"0 instances of `{module}`"),
        (".in0_V_TVALID(", ".in0_V_TVALUE(", "has no connection `in0_V_TVALID`"),
        (f"module {design.top} (", "module another (", "the text of another module"),
    ):
        assert old in text
        with pytest.raises(VerificationError) as raised:
            cut_top(design, text.replace(old, new))
        assert told in str(raised.value.why)
