"""The torch rung: the Brevitas network in eval mode.

Batch norm computes with the scales and biases of the exported file. How far the network with its
batch norm as trained, which rounds differently, is from that is recorded in the details.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from queue import SimpleQueue

import torch
from torch import nn

from qdeploy.build_folder import QONNX_FILE
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph, Threshold
from qdeploy.lowering.canonical.module_names import call_of
from qdeploy.lowering.from_torch.export import deployed_network
from qdeploy.lowering.from_torch.module_calls import CallRecorder
from qdeploy.supervised import in_parallel
from qdeploy.verify.float_levels import (
    FloatLevel,
    float_level,
    float_result,
    in_passes,
    real_frames,
)
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung

# Frames of a pass, and of the network as trained, which proves nothing.
_AT_ONCE, _TRAINED_FRAMES = 50, 200


class TorchRung(Rung):
    """Computes in float32: exact where every scale is a power of two."""

    name = "torch"
    needs = (QONNX_FILE,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        if inputs.network is None:
            raise InternalError("the torch rung needs a network")
        deployed = deployed_network(inputs.network, inputs.folder / QONNX_FILE)

        def compared(one: tuple[nn.Module, int]) -> RungResult:
            network, count = one
            level = torch_level(network, inputs.graph, inputs.frames[:count])
            return float_result(self.name, inputs, reference, level)

        both = ((deployed, len(inputs.frames)), (inputs.network, _TRAINED_FRAMES))
        with in_parallel(compared, both, len(both)) as results:
            result, trained = results
        figures = {
            "frames": trained.frames,
            "codes": trained.codes,
            "mismatches": trained.mismatches,
            "origins": trained.origins,
            "wrong": trained.wrong,
            "class_mismatches": trained.class_mismatches,
        }
        return replace(result, details=result.details | {"batch_norm_as_trained": figures})


def torch_level(network: nn.Module, graph: IntegerGraph, codes: IntArray) -> FloatLevel:
    """A Brevitas network in evaluation.

    Use `freeze_batch_norm(network)` for the network whose numbers the QONNX file holds.

    Args:
        network: its modules' calls are found by the graph's layer names.
        graph: the integer graph of its export.
        codes: input codes (N, *shape).
    """
    calls = {}
    for name in graph.boundaries():
        node = graph.producer(name)
        if name == "logits":
            calls[name] = ("", 1)
        elif isinstance(node, Threshold):
            calls[name] = (node.layer, call_of(name, f"{node.layer}.code"))
    wanted = {layer for layer, _ in calls.values()}
    passes = -(-len(codes) // _AT_ONCE)
    threads = max(1, min(len(os.sched_getaffinity(0)), passes))
    # A network that is listened to runs in one thread, so each thread has its own.
    networks = [network, *(copy.deepcopy(network) for _ in range(threads - 1))]
    with contextlib.ExitStack() as stack:
        idle: SimpleQueue[CallRecorder] = SimpleQueue()
        for one in networks:
            idle.put(stack.enter_context(contextlib.closing(CallRecorder(one, wanted))))

        def level(part: IntArray) -> FloatLevel:
            recorder = idle.get()
            try:
                return _called(recorder, graph, calls, part)
            finally:
                idle.put(recorder)

        return in_passes(level, codes, _AT_ONCE, threads)


def _called(
    network: CallRecorder,
    graph: IntegerGraph,
    calls: Mapping[str, tuple[str, int]],
    codes: IntArray,
) -> FloatLevel:
    """Codes of boundaries from the calls (path and which of them) of a network's modules."""
    seen = network(torch.from_numpy(real_frames(graph, codes)))
    found = {
        name: seen[layer][call - 1].cpu().numpy()
        for name, (layer, call) in calls.items()
        if len(seen.get(layer, ())) >= call
    }
    return float_level(graph, found, codes)
