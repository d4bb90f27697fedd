"""What to simulate: a Verilog module, its parameters and its AXI-Stream ports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Style = Literal["lower", "upper"]


@dataclass(frozen=True)
class Port:
    """An AXI-Stream port.

    Args:
        prefix: what its signal names start with.
        bits: width of TDATA in bits.
        last: whether it has TLAST.
        style: `lower` for `<prefix>_tdata`, `upper` for FINN's `<prefix>_TDATA`.
    """

    prefix: str
    bits: int
    last: bool = False
    style: Style = "lower"

    def signal(self, role: str) -> str:
        """Name of the signal `role`: `tdata`, `tvalid`, `tready` or `tlast`."""
        return f"{self.prefix}_{role if self.style == 'lower' else role.upper()}"

    @property
    def bytes(self) -> int:
        """Bytes a beat takes in the arrays that go in and come out."""
        return (self.bits + 7) // 8


@dataclass(frozen=True)
class SimSpec:
    """A module to simulate.

    Args:
        top: the module.
        sources: Verilog files; a model is rebuilt when their content changes.
        folder: working directory at build and at run time, against which the names of memory files
            resolve. Memory files are read when a run starts: changing them needs no new build.
        parameters: of the top module.
        defines: macros, with an empty string for no value.
        inputs: ports the simulation drives.
        outputs: ports the simulation takes from.
        taps: ports of which data, valid and ready are all outputs of the module: only watched.
        probes: (output port, bits) of unsigned values up to 64 bits, such as the fill of a FIFO.
        controls: (input port, bits) of control inputs: unsigned values up to 64 bits that each run
            sets once, such as the depth a FIFO behaves like.
        cut_clock: where parts of the module can be cut loose: a rising edge does it, and each takes
            what is set at the ports of the parts. Empty where they cannot.
        part_inputs, part_outputs: ports of these parts.
        clock: clock signal.
        reset: synchronous active-low reset signal.
        settings: text of a configuration file for Verilator, of our own making: it is not checked
            as sources are.
        waive: Verilator warnings not to stop at, for code that is not ours (a netlist).
        optimize: level for the C++ compiler.
    """

    top: str
    sources: Sequence[Path]
    folder: Path
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    defines: Mapping[str, str] = field(default_factory=dict)
    taps: Sequence[Port] = ()
    probes: Sequence[tuple[str, int]] = ()
    controls: Sequence[tuple[str, int]] = ()
    cut_clock: str = ""
    part_inputs: Sequence[Port] = ()
    part_outputs: Sequence[Port] = ()
    clock: str = "clk"
    reset: str = "rst_n"
    settings: str = ""
    waive: Sequence[str] = ()
    optimize: str = "-O1"

    def digest(self, *extra: str) -> str:
        """Hex digest of all that shapes the model; not of the folder, nor of memory contents."""
        content = hashlib.sha256()
        described = {
            "top": self.top,
            "parameters": dict(self.parameters),
            "defines": dict(self.defines),
            "ports": [
                [[p.prefix, p.bits, p.last, p.style] for p in ports]
                for ports in (
                    self.inputs,
                    self.outputs,
                    self.taps,
                    self.part_inputs,
                    self.part_outputs,
                )
            ],
            "cut_clock": self.cut_clock,
            "probes": [list(probe) for probe in self.probes],
            "controls": [list(control) for control in self.controls],
            "clock": [self.clock, self.reset],
            "settings": self.settings,
            "waive": list(self.waive),
            "optimize": self.optimize,
            "extra": list(extra),
        }
        content.update(json.dumps(described, sort_keys=True).encode())
        for source in self.sources:
            text = Path(source).read_bytes()
            content.update(f"\0{Path(source).name}\0{len(text)}\0".encode())
            content.update(text)
        return content.hexdigest()
