"""Metrics of the integer network, of labels and of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker

from qdeploy.build.scores import by_class, scores
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.verify.frames import Frames


def made(maker: GraphMaker, folder: Path, count: int = 12):
    """The graph, codes for it and what comes out."""
    graph, codes = maker.graph(), maker.frames(count)
    emit_onnx(graph, folder / "int.onnx", taps=False)
    result = IntSimulator(folder / "int.onnx").run(codes)[graph.output]
    return graph, codes, result


def test_labels_are_compared_with_the_largest_logit_or_the_class(tmp_path: Path) -> None:
    for maker in (GraphMaker(1, (6,)).dense(4), GraphMaker(1, (6,)).dense(4).argmax()):
        graph, codes, result = made(maker, tmp_path)
        classes = result.reshape(len(result), -1)
        classes = classes.argmax(1) if classes.shape[1] > 1 else classes[:, 0]
        labels = np.where(np.arange(len(codes)) < 9, classes, classes + 1)
        frames = Frames(codes, codes.astype(np.uint8), labels, "made up", len(codes))
        assert scores(graph, frames, result) == {"accuracy": 0.75}


def test_masks_are_compared_pixel_by_pixel_without_the_void_ones(tmp_path: Path) -> None:
    graph, codes, result = made(GraphMaker(2, (2, 6, 5)).conv(3), tmp_path)
    masks = result.argmax(1)
    masks[:, 0] = (masks[:, 0] + 1) % 3  # the first of six rows is wrong
    masks[:, 1] = 7
    unknown = np.full(len(codes), -1)
    frames = Frames(codes, codes.astype(np.uint8), unknown, "made up", len(codes), masks, 7)
    found = scores(graph, frames, result)
    assert found["accuracy"] == pytest.approx(4 / 5)
    kept = masks != 7
    ious = [
        ((result.argmax(1) == k) & (masks == k) & kept).sum()
        / (((result.argmax(1) == k) | (masks == k)) & kept).sum()
        for k in range(3)
    ]
    assert found["mIoU"] == pytest.approx(np.mean(ious))


def test_logits_coarser_than_masks_are_interpolated(tmp_path: Path) -> None:
    graph, codes, result = made(GraphMaker(2, (2, 4, 4)).conv(3), tmp_path)
    masks = np.zeros((len(codes), 7, 7), dtype=np.int64)
    masks[:, ::2, ::2] = result.argmax(1)  # corners lie on corners
    masks[:, 1::2] = masks[:, :, 1::2] = 9
    unknown = np.full(len(codes), -1)
    frames = Frames(codes, codes.astype(np.uint8), unknown, "made up", len(codes), masks, 9)
    found = scores(graph, frames, result)
    assert found["accuracy"] == 1.0


def test_one_label_for_a_map_gives_no_metric(tmp_path: Path) -> None:
    graph, codes, result = made(GraphMaker(2, (2, 4, 4)).conv(3), tmp_path)
    frames = Frames(codes, codes.astype(np.uint8), np.zeros(12, int), "made up", 12)
    assert scores(graph, frames, result) == {}
    assert by_class(graph, frames, result, ("a", "b")) is None


def test_each_class_has_its_figures(tmp_path: Path) -> None:
    graph, codes, result = made(GraphMaker(3, (6,)).dense(3), tmp_path, 60)
    said = result.argmax(1)
    labels = np.where(np.arange(60) % 5 == 0, (said + 1) % 3, said)
    frames = Frames(codes, codes.astype(np.uint8), labels, "made up", 60)
    assert by_class(graph, frames, result, ()) is None
    found = by_class(graph, frames, result, ("a", "b", "c"))
    assert found is not None
    matrix = np.array(found["confusion"])
    for true in range(3):
        for column in range(3):
            assert matrix[true, column] == ((labels == true) & (said == column)).sum()
        hits = matrix[true, true]
        assert found["recall"][true] == pytest.approx(hits / max(1, matrix[true].sum()))
        assert found["precision"][true] == pytest.approx(hits / max(1, matrix[:, true].sum()))
    assert found["accuracy"] == scores(graph, frames, result)["accuracy"] == 0.8
    assert "roc_auc" not in found
    assert found["classes"] == ["a", "b", "c"]


def test_of_two_classes_the_order_of_the_margins_counts(tmp_path: Path) -> None:
    graph, codes, result = made(GraphMaker(3, (6,)).dense(2), tmp_path, 40)
    margins = graph.head.values(result)[:, 1] - graph.head.values(result)[:, 0]
    labels = (margins > np.median(margins)).astype(np.int64)
    frames = Frames(codes, codes.astype(np.uint8), labels, "made up", 40)
    found = by_class(graph, frames, result, ("no", "yes"))
    assert found is not None
    assert found["roc_auc"] == 1
    frames = Frames(codes, codes.astype(np.uint8), 1 - labels, "made up", 40)
    found = by_class(graph, frames, result, ("no", "yes"))
    assert found is not None
    assert found["roc_auc"] == 0
