"""What does not become hardware is refused at once, by its operator, with a way out."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from unsupported_files import shared_weights, unsupported, zero_slopes
from written_files import frames_of, logits_of, official

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integers.lower import lower


@pytest.mark.parametrize("name", sorted(unsupported()))
def test_the_refusal_names_the_operator_its_place_and_what_to_do(name: str, tmp_path: Path) -> None:
    file = unsupported()[name]
    path = tmp_path / "network.onnx"
    onnx.save(file.make(), path)
    begun = time.process_time()
    with pytest.raises(UnsupportedLayerError) as refused:
        lower(path)
    assert time.process_time() - begun < 5
    error = refused.value
    assert file.operator in error.what
    assert file.words in str(error)
    assert error.where
    assert error.do


@pytest.mark.parametrize("make", [shared_weights, zero_slopes])
def test_what_only_looks_wrong_is_taken(make: object, tmp_path: Path) -> None:
    assert callable(make)
    model, path = make(), tmp_path / "network.onnx"
    onnx.save(model, path)
    codes, real = frames_of((3, 6, 6))
    assert np.array_equal(logits_of(path, codes), official(model, real))
