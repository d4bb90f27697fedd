"""Options of `quantization` that exclude each other are refused before any training."""

import pytest
from pydantic import ValidationError

from qdeploy.recipe.models import Quantization

LEARNED = {"activation_thresholds": "learned"}


@pytest.mark.parametrize("bits", [5, 8, "float"])
def test_thresholds_to_learn_need_narrow_activations(bits):
    with pytest.raises(ValidationError, match=rf"up to 4 bits; `activation_bits` is {bits}: choos"):
        Quantization(activation_bits=bits, **LEARNED)
    layers = {"group1.*": {"activation_bits": 3}}
    assert Quantization(activation_bits=bits, layers=layers, **LEARNED).layers
    assert Quantization(activation_bits=4, **LEARNED).activation_thresholds == "learned"
