"""Passes over a file run until none changes anything, and never for ever."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from qdeploy.errors import PassError
from qdeploy.lowering.canonical.import_qonnx import PASSES
from qdeploy.lowering.canonical.passes import (
    MAX_ROUNDS,
    Pass,
    PassResult,
    add_initializer,
    in_powers_of_two,
    run_passes,
)


def chain(*operators: str) -> ModelProto:
    """x -> the operators one after the other -> out."""
    names = ["x", *(f"t{k}" for k in range(1, len(operators))), "out"]
    nodes = [
        helper.make_node(op, [a], [b], f"{op.lower()}{k}")
        for k, (op, a, b) in enumerate(zip(operators, names[:-1], names[1:], strict=True))
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in ("x", "out")]
    return helper.make_model(
        helper.make_graph(nodes, "chain", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=9,
    )


class Rename(Pass):
    """The first node of one kind becomes one of another."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def call(self, model: ModelProto) -> PassResult:
        for node in model.graph.node:
            if node.op_type == self.old:
                node.op_type = self.new
                return PassResult(model, True)
        return PassResult(model, False)


def kinds(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_pass_runs_again_until_it_finds_nothing_more() -> None:
    result = run_passes(chain("Abs", "Abs", "Abs"), [Rename("Abs", "Relu")], probe=False)
    assert kinds(result.model) == ["Relu"] * 3 and result.modified


def test_what_a_later_pass_uncovers_an_earlier_one_still_finds() -> None:
    passes = [Rename("Abs", "Relu"), Rename("Neg", "Abs")]
    assert kinds(run_passes(chain("Neg", "Neg"), passes, probe=False).model) == ["Relu", "Relu"]


def test_nothing_to_do_is_no_change() -> None:
    result = run_passes(chain("Relu"), [Rename("Abs", "Relu")], probe=False)
    assert kinds(result.model) == ["Relu"] and not result.modified


def test_passes_that_undo_each_other_are_stopped_by_name() -> None:
    passes = [Rename("Abs", "Neg"), Rename("Relu", "Relu"), Rename("Neg", "Abs")]
    with pytest.raises(PassError, match=f"Rename, Rename reached .* {MAX_ROUNDS} rounds"):
        run_passes(chain("Abs"), passes, probe=False)


def test_canonical_form_is_its_own_canonical_form() -> None:
    model = chain("Identity", "Identity", "Relu", "Identity")
    add_initializer(model, "w", np.ones((3, 4), np.float32))
    gemm = helper.make_node("Gemm", ["out", "w"], ["y"], "fc", transB=1)
    model.graph.node.append(gemm)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3)))
    once = run_passes(model, PASSES)
    assert kinds(once.model) == ["Relu", "MatMul"]
    assert not run_passes(once.model, PASSES).modified


def linear(weights: np.ndarray) -> ModelProto:
    """x -> weights, (4, N) -> y."""
    model = chain("Identity")
    add_initializer(model, "w", weights.astype(np.float32))
    model.graph.node.append(helper.make_node("MatMul", ["out", "w"], ["y"], "fc"))
    shape = (1, weights.shape[1])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    return model


class Change(Pass):
    """The weights become others, once."""

    def __init__(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.change = change
        self.done = False

    def call(self, model: ModelProto) -> PassResult:
        if self.done:
            return PassResult(model, False)
        self.done = True
        (tensor,) = model.graph.initializer
        changed = np.ascontiguousarray(self.change(numpy_helper.to_array(tensor)))
        tensor.CopyFrom(numpy_helper.from_array(changed, "w"))
        return PassResult(model, True)


@pytest.mark.parametrize("step", [1.0, 1.137, 0.7071])
@pytest.mark.parametrize(
    "change",
    [
        lambda w: w[[1, 0, 2, 3]],
        lambda w: w[:, ::-1],
        lambda w: np.nextafter(w, np.float32(9)),
        lambda w: np.where(w == w[0, 0], np.float32(1.0000005) * w, w),
        lambda w: -w,
    ],
    ids=["rows", "columns", "last bits", "one last bit", "signs"],
)
def test_a_pass_that_changes_numbers_is_stopped_whatever_the_steps(
    step: float, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    weights = np.random.default_rng(1).permutation(np.arange(-8, 8)).reshape(4, 4) + 0.5
    with pytest.raises(PassError, match="changed the outputs by"):
        run_passes(linear(weights * step), [Change(change)])


def test_a_power_of_two_stays_and_equal_numbers_stay_equal() -> None:
    values = np.array([[0.25, -3, 0, 1.137, -1.137, 1e-41, np.inf, 3.3, 3.3]], np.float32)
    seen = set()
    for drawing in range(4):
        (tensor,) = in_powers_of_two(linear(values), drawing).graph.initializer
        found = numpy_helper.to_array(tensor)[0]
        assert list(found[:3]) == [0.25, -3, 0]
        assert found[3] == -found[4] and found[3] in (1, 2)
        assert found[6] == np.inf and found[7] == found[8]
        seen.add(float(found[7]))
    assert seen == {2.0, 4.0}
