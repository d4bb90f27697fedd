"""What the readers of one layer share: its unit, its streams, the layer's blocks."""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.design.manifest import Connection
from qdeploy.ir.integer_graph import IntType, Tensor
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.ledger import Place, UnreadableError
from qdeploy.verify.memories.wrapper import Wrapper
from qdeploy.verify.units.parameters import UnitParameters


@dataclass(frozen=True)
class LayerReading:
    """One layer while it is read.

    Args:
        place: where findings go.
        unit: what the layer must hold and do.
        wrapper: what its module holds.
        inputs, outputs: streams at its ports.
        sources: the graph's tensors that arrive at its inputs.
        rest: text after the wrapper: modules of its own.
        lanes: elements per beat of the window that feeds it channel by channel, 0 where none does.
    """

    place: Place
    unit: UnitParameters
    wrapper: Wrapper
    inputs: tuple[Connection, ...]
    outputs: tuple[Connection, ...]
    sources: tuple[Tensor, ...]
    rest: str
    lanes: int = 0

    def check(self, block: Block, expected: dict[str, int]) -> bool:
        """Compare parameters of a block; whether all are as expected."""
        return all(
            [
                self.place.check(f"parameter {key} of {block.module}", value, block.number(key))
                for key, value in expected.items()
            ]
        )

    def only(self, *modules: str) -> Block:
        """The one block there is, of one of these modules.

        Raises:
            UnreadableError: there are others.
        """
        blocks = self.wrapper.blocks
        if len(blocks) != 1 or blocks[0].module not in modules:
            names = ", ".join(block.module for block in blocks)
            raise UnreadableError(f"it is made of {names or 'nothing'}, not of {modules[0]}")
        return blocks[0]

    def reads(self, stream: Connection, bits: int, lanes: int, block: Block) -> None:
        """A block takes the elements of a stream with so many bits and lanes."""
        name = block.module
        self.place.check(f"width of an element that {name} reads", stream.bits, bits)
        self.place.check(f"lanes that {name} reads", stream.per_beat, lanes)

    def makes(self, stream: Connection, bits: int, lanes: int, block: Block) -> None:
        """A block gives a stream so many bits and lanes."""
        name = block.module
        self.place.check(f"width of an element that {name} makes", stream.bits, bits)
        self.place.check(f"lanes that {name} makes", stream.per_beat, lanes)

    def wide_enough(self, what: str, kind: IntType, lo: int, hi: int) -> bool:
        """Whether a type holds an interval; a difference where it does not."""
        return self.place.holds(
            what, f"a type that holds {lo} to {hi}", kind.lo <= lo and hi <= kind.hi, kind
        )
