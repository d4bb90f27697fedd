"""Pickles of arrays: what Python 2 and 3 write is read, and damage ends in one kind of error."""

import pickle
import random

import numpy as np
import pytest

from qdeploy.data.array_pickle import ArrayPickleError, read_pickle

ROWS = np.arange(6, dtype=np.uint8).reshape(2, 3)
CONTENT = {
    "data": ROWS,
    "by column": np.asfortranarray(ROWS),
    "labels": [3, 1],
    "numbers": np.array([-5, 70000]),
    "big endian": np.array([258, 3], ">u2"),
    "one": np.int64(7),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_numbers_of_every_protocol_are_read(protocol):
    read = read_pickle(pickle.dumps(CONTENT, protocol=protocol))
    assert list(read) == list(CONTENT)
    for name, wanted in CONTENT.items():
        assert np.array_equal(read[name], wanted)
        assert np.asarray(read[name]).dtype == np.asarray(wanted).dtype
    assert read["data"].flags.writeable
    assert read["by column"].flags.c_contiguous


def test_a_pickle_of_python_2_is_read():
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06"
        + bytes(range(250, 256))
    )
    read = read_pickle(b"\x80\x02}(U\x04data" + array + b"tbU\x06labels](K\x03K\x01eu.")
    assert read["labels"] == [3, 1]
    assert read["data"].tolist() == [[250, 251, 252], [253, 254, 255]]
    assert read["data"].dtype == np.uint8


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_damage_ends_in_one_kind_of_error_and_leaves_numpy_alone(protocol):
    rng = random.Random(protocol)
    whole = pickle.dumps({"data": ROWS, "labels": [3, 1], "one": np.int64(7)}, protocol=protocol)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 4))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        cut = rng.choice((0, 0, rng.randrange(len(damaged))))
        try:
            read_pickle(bytes(damaged[cut:]))
        except ArrayPickleError:
            refused += 1
    assert refused > 750
    assert np.dtype("u1").newbyteorder("S") == np.uint8
    assert (ROWS + np.ones(3, np.uint8)).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "stores an object at memo index 2,147,483,647"),
        (pickle.dumps({"data": np.array([None])}), "elements of type 'O8'"),
        (pickle.dumps([1]), "contains a list, not a dictionary"),
        (pickle.dumps({"data": print}), r"asks to run `builtins\.print`, which is not allowed"),
    ],
)
def test_what_is_no_dictionary_of_arrays_is_refused_with_the_reason(raw, reason):
    with pytest.raises(ArrayPickleError, match=reason):
        read_pickle(raw)
