"""Rows of metrics.jsonl: their keys, those of other versions, and what is made of them."""

import json
from dataclasses import replace

import pytest

from qdeploy.training.checkpoints import Position
from qdeploy.training.metrics import (
    METRICS,
    EpochMetrics,
    phase_summaries,
    read_metrics,
    write_metrics,
)

KEYS = [
    "phase",
    "phase_index",
    "kind",
    "epoch",
    "epochs",
    "lr",
    "loss",
    "lipschitz",
    "train_accuracy",
    "train_miou",
    "accuracy",
    "miou",
    "images_per_second",
    "waiting",
    "seconds",
]
ROW = EpochMetrics(
    phase="float",
    phase_index=0,
    kind="pretrain",
    epoch=1,
    epochs=2,
    lr=0.1,
    loss=1.25,
    lipschitz=10.5,
    train_accuracy=0.5,
    train_miou=0.25,
    accuracy=0.75,
    miou=0.5,
    images_per_second=1000.0,
    waiting=0.25,
    seconds=2.0,
)
IMAGES = replace(ROW, train_miou=None, miou=None, waiting=None)


def test_keys_are_written_in_order_and_what_there_is_none_of_is_left_out(tmp_path):
    write_metrics(tmp_path, [ROW, IMAGES])
    whole, images = [json.loads(x) for x in (tmp_path / METRICS).read_text().splitlines()]
    assert list(whole) == KEYS
    assert list(images) == [key for key in KEYS if key not in ("train_miou", "miou", "waiting")]
    assert read_metrics(tmp_path) == [ROW, IMAGES]


def test_keys_of_other_versions_are_ignored_and_an_unreadable_row_ends_the_list(tmp_path):
    other = {**IMAGES.to_json(), "temperature": 300}
    cut = {key: value for key, value in ROW.to_json().items() if key != "loss"}
    lines = [other, ROW.to_json(), cut, ROW.to_json()]
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_metrics(tmp_path) == [IMAGES, ROW]
    for broken in ("{", "3", "null"):
        (tmp_path / METRICS).write_text(f"{json.dumps(other)}\n{broken}\n{json.dumps(other)}\n")
        assert read_metrics(tmp_path) == [IMAGES]
    assert read_metrics(tmp_path / "nowhere") == []


def test_a_row_knows_where_the_run_was():
    assert ROW.position == Position(0, 1)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            ROW,
            "float 1/2: loss 1.2500, train 50.00%, test 75.00% (mIoU 50.00%), lr 0.1, L_Lip 10.5, "
            "1,000 images/s, 25% of the time waiting for data",
        ),
        (
            replace(IMAGES, waiting=0.2),
            "float 1/2: loss 1.2500, train 50.00%, test 75.00%, lr 0.1, L_Lip 10.5, 1,000 images/s",
        ),
        (
            replace(IMAGES, phase="now", kind="direct", epoch=0, epochs=0),
            "now: direct, no training; loss 1.2500, test 75.00%, L_Lip 10.5",
        ),
    ],
)
def test_a_row_is_a_line_for_people(row, sentence):
    assert row.sentence() == sentence


def test_a_phase_is_summed_up_by_its_last_epoch_and_all_its_seconds():
    later = replace(ROW, epoch=2, accuracy=0.875, seconds=3.0)
    second = replace(IMAGES, phase="retrain", phase_index=1, kind="retrain")
    first, other = phase_summaries([ROW, later, second])
    assert first == {
        "name": "float",
        "kind": "pretrain",
        "epochs": 2,
        "accuracy": 0.875,
        "train_accuracy": 0.5,
        "miou": 0.5,
        "train_miou": 0.25,
        "loss": 1.25,
        "lipschitz": 10.5,
        "seconds": 5.0,
    }
    assert list(other) == [key for key in first if "miou" not in key]
