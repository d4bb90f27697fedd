"""Fixtures for tests of the Verilog blocks in hw/rtl.

`block_sim(top, parameters, in_bits, out_bits, memories)` builds `hw/rtl/<top>.v` and gives a
`Simulator`; `pack` and `unpack` of `qdeploy.design.packing` make and read its beats:

    def test_doubles_every_element(block_sim):
        sim = block_sim("qd_double", {"PE": 2, "B": 4}, in_bits=8, out_bits=10,
                        memories={"w.hex": weight_lines(W, 2, 1, 4)})
        result = sim.run([pack(x, 4, 2)], [len(x) // 2], stall_in=0.3, stall_out=0.3, seed=1)
        assert_array_equal(unpack(result.outputs[0], 5, 2, signed=False), 2 * x)

`memories` maps a file name, as a parameter of the block names it, to its lines. `libraries` names
further modules of hw/rtl the block instantiates, `defines` macros, `controls` input ports that keep
a value through a run. A block with more ports than `s` and `m` gets `inputs` and `outputs`,
(prefix, bits) each, in place of the two widths. Models are kept in pytest's cache folder, so only a
changed block or a new set of parameters is compiled (about a second).
Without Verilator, g++ or make the fixture fails with the name of the Debian package: these tests
are never skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from qdeploy.dataflow.rtl.library import library_file
from qdeploy.sim.model import build_model
from qdeploy.sim.simulator import Simulator
from qdeploy.sim.spec import Port, SimSpec

BlockSim = Callable[..., Simulator]


@pytest.fixture(scope="session")
def block_sim(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Simulator]:
    """See the head of this file."""
    cache = Path(pytestconfig.cache.mkdir("simulators"))

    def make(
        top: str,
        parameters: Mapping[str, int | str],
        in_bits: int = 0,
        out_bits: int = 0,
        memories: Mapping[str, Sequence[str]] | None = None,
        *,
        libraries: Sequence[str] = (),
        probes: Sequence[tuple[str, int]] = (),
        last: bool = False,
        defines: Mapping[str, str] | None = None,
        inputs: Sequence[tuple[str, int]] = (),
        outputs: Sequence[tuple[str, int]] = (),
        controls: Sequence[tuple[str, int]] = (),
    ) -> Simulator:
        folder = tmp_path_factory.mktemp(top)
        for name, lines in (memories or {}).items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        spec = SimSpec(
            top=top,
            sources=[library_file(f"{name}.v") for name in (top, *libraries)],
            folder=folder,
            parameters=parameters,
            defines=defines or {},
            inputs=[Port(*port) for port in inputs or [("s", in_bits)]],
            outputs=[Port(*port) for port in outputs] or [Port("m", out_bits, last=last)],
            probes=probes,
            controls=controls,
            optimize="-O0",  # tests are short: compiling takes longer than running
        )
        return build_model(spec, cache)

    return make
