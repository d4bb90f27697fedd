"""Frames a build is proven with, of data sets in memory, in files, and with masks."""

import numpy as np
from data_trees import write_imagenet, write_voc

from qdeploy.data.load import load_dataset
from qdeploy.recipe.data import Data
from qdeploy.verify.frames import frames_of_dataset


def test_a_small_test_set_is_followed_by_training_frames():
    data = load_dataset("digits")
    frames = frames_of_dataset(data, 4, 400, "digits")
    assert (len(frames.codes), frames.tested) == (400, 360)
    assert np.array_equal(frames.codes[:360], data.test_images.numpy() >> 4)
    assert np.array_equal(frames.raw[360:], data.train_images[:40].numpy())
    assert frames.labels[360:].tolist() == data.train_labels[:40].tolist()


def test_frames_of_a_set_in_files_are_spread_over_its_test_set(tmp_path):
    write_imagenet(tmp_path, classes=3, val=20)
    settings = Data.model_validate({"name": "imagenet", "image_size": 16, "classes": 3})
    frames = frames_of_dataset(load_dataset(settings, tmp_path), 8, 6, "imagenet")
    assert frames.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert frames.tested == 6
    assert frames.source == "6 frames spread over the test set of imagenet"


def test_masks_are_no_labels_of_frames(tmp_path):
    write_voc(tmp_path)
    settings = Data.model_validate({"name": "voc2012", "image_size": 32, "partial": True})
    frames = frames_of_dataset(load_dataset(settings, tmp_path), 8, 7, "voc2012")
    assert frames.codes.shape == (7, 3, 32, 32)
    assert frames.labels.tolist() == [-1] * 7
    assert frames.tested == 4
