"""Where a data set lies: in the machine's memory, on the device, or in its files."""

import pytest
import torch
from data_trees import write_voc

from qdeploy.data.dataset import free_bytes, place
from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError, InternalError
from qdeploy.recipe.data import Data

CPU, OTHER = torch.device("cpu"), torch.device("meta")  # a meta tensor lies on no real device


def test_a_data_set_moves_when_it_takes_at_most_a_quarter_of_what_is_free():
    data = load_dataset("digits")
    size = 1797 * (64 + 8)
    assert place(data, OTHER, "auto", free=4 * size).train_images.device == OTHER
    assert place(data, OTHER, "auto", free=4 * size - 4) is data
    assert place(data, OTHER, "no", free=100 * size) is data
    assert place(data, OTHER, "yes", free=size).test_labels.device == OTHER
    assert place(data, CPU, "auto", free=100 * size) is data


def test_a_placement_that_is_not_possible_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"`digits` needs 0 MiB, but only 0 MiB are free on"):
        place(load_dataset("digits"), OTHER, "yes", free=10)
    write_voc(tmp_path)
    settings = Data.model_validate({"name": "voc2012", "partial": True})
    streamed = load_dataset(settings, tmp_path)
    assert place(streamed, OTHER, "auto", free=2**40) is streamed
    with pytest.raises(DataError, match="`voc2012` cannot be moved to the device"):
        place(streamed, OTHER, "yes", free=2**40)
    with pytest.raises(InternalError, match="requested as a whole"):
        _ = streamed.train_images


def test_free_memory_is_that_of_the_machine():
    assert 2**20 < free_bytes(CPU) < 2**50
