"""Which rungs run when some are required and some left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_graphs import small_mlp

from qdeploy.errors import UserError
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import check_choice, climb

REQUEST = "left out on request"
NO_NETLIST = "there is no netlist: the build was made without synthesis"


@pytest.mark.parametrize(
    ("skip", "layers", "whole"),
    [
        (("netlist",), REQUEST, REQUEST),
        (("netlist layer",), REQUEST, NO_NETLIST),
        ((), NO_NETLIST, NO_NETLIST),
    ],
)
def test_leaving_out_the_netlist_leaves_out_its_layers_too(
    skip: tuple[str, ...], layers: str, whole: str, tmp_path: Path
) -> None:
    maker = small_mlp()
    inputs = LadderInputs(tmp_path, maker.graph(), None, maker.frames(2), tmp_path)
    results = climb(inputs, rungs=("netlist layer", "netlist"), skip=skip)
    assert [(one.name, one.skipped) for one in results] == [
        ("netlist layer", layers),
        ("netlist", whole),
    ]


def test_the_netlists_layers_can_be_left_out_alone_but_not_required_without_the_netlist() -> None:
    check_choice(require=("netlist",), skip=("netlist layer",))
    with pytest.raises(UserError, match="`netlist layer` is both required and skipped"):
        check_choice(require=("netlist layer",), skip=("netlist",))
