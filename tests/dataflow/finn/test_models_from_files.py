"""Hardware layers in a file of a build, which may be anyone's: it names no code that would run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from bad_files import SmallNetwork
from onnx import helper

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.models import read_model
from qdeploy.errors import UserError
from qdeploy.lowering.integers.lower import lower

Change = Callable[[onnx.NodeProto], object]


def _program(node: onnx.NodeProto, name: str, value: str) -> None:
    node.attribute.append(helper.make_attribute(name, value))


CHANGES: dict[str, Change] = {
    "a package to import": lambda node: setattr(node, "domain", "antigravity"),
    "an operator of its own": lambda node: setattr(node, "op_type", "Evil"),
    "a program": lambda node: _program(node, "executable_path", "/bin/true"),
    "a way to run it": lambda node: _program(node, "exec_mode", "cppsim"),
    "a library": lambda node: _program(node, "rtlsim_so", "evil.so"),
    "a folder of code": lambda node: _program(node, "code_gen_dir_cppsim", "."),
}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = SmallNetwork().save(tmp_path_factory.mktemp("layers") / "small.onnx")
    return bytes(hardware_layers(lower(path)).model.SerializeToString())


def test_the_file_of_a_build_is_read(layers: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(layers)
    assert len(read_model(tmp_path / "model.onnx").graph.node) > 3


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_file_that_names_code_is_refused(change: Change, layers: bytes, tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(layers)
    change(model.graph.node[0])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match="cannot be read"):
        read_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"nonsense"])
def test_a_damaged_file_is_refused(data: bytes, layers: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(layers[: len(layers) // 2] + data)
    with pytest.raises(UserError, match="cannot be read"):
        read_model(tmp_path / "model.onnx")
